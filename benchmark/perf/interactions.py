"""Interactions of all 190 pairs of 20 hidden units from 5,000 evaluations, against exact values of all 2^20 coalitions."""

from __future__ import annotations

import importlib.util
import time
from importlib.metadata import version

import numpy as np
import torch

from coterie.benchmark.perf.digits import Digits, MeanGame
from coterie.benchmark.perf.row import Row
from coterie.methods.msa import Evidence, draw_pairs, evaluate_all, exact_interactions
from coterie.methods.msa.interactions import pair_interactions

_PLAYERS, _BUDGET, _SEEDS = 20, 5000, 3


def rows() -> list[Row]:
    """Mean squared error over variance, over the pairs, three seeds each."""
    game, pairs = MeanGame(Digits(_PLAYERS).game()), np.triu_indices(_PLAYERS, 1)
    everything = Evidence(game, 2**_PLAYERS)
    evaluate_all(everything)
    truth = exact_interactions(everything)[..., 0][pairs]
    errors, seconds = [], []
    for seed in range(_SEEDS):
        started, evidence = time.perf_counter(), Evidence(game, _BUDGET)
        draw_pairs(evidence, evidence.left, np.random.default_rng(seed))
        found = pair_interactions(evidence)[pairs]
        seconds.append(time.perf_counter() - started)
        errors.append(float(np.square(found - truth).mean() / truth.var()))
    ours = f"nMSE {np.mean(errors):.5f} [{min(errors):.5f}, {max(errors):.5f}], {np.mean(seconds):.1f} s"
    work, target = f"interactions of {_PLAYERS} units, {_BUDGET} evaluations", "no worse"
    values = {"nmse": errors, "seconds": seconds}
    if importlib.util.find_spec("shapiq") is None:
        return [Row(work, ours, "shapiq is not installed; fix: pip install 'coterie[perf]'", "-", target, None, values)]
    import shapiq

    def worth(kept: np.ndarray) -> np.ndarray:
        return game._ablate(torch.from_numpy(~np.atleast_2d(kept).astype(bool))).numpy()[:, 0]

    theirs, spent = [], []
    for seed in range(_SEEDS):
        started = time.perf_counter()
        sampler = shapiq.KernelSHAPIQ(n=_PLAYERS, max_order=2, index="SII", random_state=seed)
        estimate = sampler.approximate(_BUDGET, worth)
        spent.append(time.perf_counter() - started)
        values_there = np.array([estimate[int(i), int(j)] for i, j in zip(*pairs, strict=True)])
        theirs.append(float(np.square(values_there - truth).mean() / truth.var()))
    return [
        Row(
            work=work,
            ours=ours,
            against=f"shapiq {version('shapiq')} KernelSHAP-IQ: {np.mean(theirs):.5f}, {np.mean(spent):.1f} s",
            figure=f"{np.mean(theirs) / np.mean(errors):.0f} times less error",
            target=target,
            met=bool(np.mean(errors) <= np.mean(theirs)),
            values={**values, "shapiq_nmse": theirs, "shapiq_seconds": spent},
        )
    ]
