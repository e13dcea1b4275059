"""Interactions of all pairs of hidden units, against KernelSHAP-IQ at the same number of evaluations.

The error is that against the exact values from all 2^20 coalitions of 20 units.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version

import numpy as np
import torch

from coterie.benchmark.perf.digits import Digits, MeanGame
from coterie.benchmark.perf.measuring import timed
from coterie.benchmark.perf.row import NONE, Row, missing_package
from coterie.methods.msa import Evidence, draw_pairs, evaluate_all, exact_interactions
from coterie.methods.msa.interactions import pair_interactions

_PLAYERS, _BUDGET, _SEEDS = 20, 5000, 3
_PAIRS = np.triu_indices(_PLAYERS, 1)


def rows() -> list[Row]:
    """One row: mean squared error over the variance of the exact values, over the pairs, for three seeds."""
    game = MeanGame(Digits(_PLAYERS).game())
    everything = Evidence(game, 2**_PLAYERS)
    evaluate_all(everything)
    truth = exact_interactions(everything)[..., 0][_PAIRS]
    errors, seconds = _errors(partial(_ours, game), truth)
    ours = f"nMSE {np.mean(errors):.5f} [{min(errors):.5f}, {max(errors):.5f}], {np.mean(seconds):.1f} s"
    work, target = f"interactions of {_PLAYERS} units, {_BUDGET} evaluations", "no worse"
    values = {"nmse": errors, "seconds": seconds}
    if reason := missing_package("shapiq", "perf"):
        return [Row(work, ours, reason, NONE, target, None, values)]
    theirs, spent = _errors(partial(_by_shapiq, game), truth)
    return [
        Row(
            work=work,
            ours=ours,
            against=f"shapiq {version('shapiq')} KernelSHAP-IQ: {np.mean(theirs):.5f}, {np.mean(spent):.1f} s",
            figure=f"error {np.mean(theirs) / np.mean(errors):.0f} times smaller",
            target=target,
            met=bool(np.mean(errors) <= np.mean(theirs)),
            values={**values, "shapiq_nmse": theirs, "shapiq_seconds": spent},
        )
    ]


def _errors(estimate: Callable[[int], np.ndarray], truth: np.ndarray) -> tuple[list[float], list[float]]:
    """Normalised squared error and seconds per seed."""
    found = [timed(partial(estimate, seed)) for seed in range(_SEEDS)]
    return [float(np.square(values - truth).mean() / truth.var()) for values, _ in found], [s for _, s in found]


def _ours(game: MeanGame, seed: int) -> np.ndarray:
    evidence = Evidence(game, _BUDGET)
    draw_pairs(evidence, evidence.left, np.random.default_rng(seed))
    interactions: np.ndarray = pair_interactions(evidence)[_PAIRS]
    return interactions


def _by_shapiq(game: MeanGame, seed: int) -> np.ndarray:
    import shapiq

    def worth(kept: np.ndarray) -> np.ndarray:
        return game._ablate(torch.from_numpy(~np.atleast_2d(kept).astype(bool))).numpy()[:, 0]

    sampler = shapiq.KernelSHAPIQ(n=_PLAYERS, max_order=2, index="SII", random_state=seed)
    found = sampler.approximate(_BUDGET, worth)
    return np.array([found[int(i), int(j)] for i, j in zip(*_PAIRS, strict=True)])
