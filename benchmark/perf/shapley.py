"""Shapley values against msapy, their error at 20,000 evaluations, and the estimators' own time.

The game is that of 100 hidden units of a small network; see `digits.py`.
"""

from __future__ import annotations

import contextlib
import io
import time
from functools import partial
from importlib.metadata import version
from typing import final

import numpy as np
import torch
from torch import Tensor

from coterie.benchmark.perf.digits import Digits, MeanGame
from coterie.benchmark.perf.measuring import peak_gib, timed
from coterie.benchmark.perf.row import NONE, Row, missing_package
from coterie.methods.msa import Estimator, Evidence, estimate_modes, from_orders, permutation_sampling
from coterie.tasks.game import Capability, Game, Meter

_ORDERS, _BUDGET, _SEEDS = 200, 20_000, 3


@final
class InstantGame(Game):
    """A game that costs nothing: it returns zeros or noise, so that all the time is the estimator's."""

    capabilities = frozenset({Capability.ABLATIONS})

    def __init__(self, n_players: int, noise: float) -> None:
        self.n_players, self.n_outputs, self.meter = n_players, 1, Meter()
        self._noise, self._generator = noise, torch.Generator().manual_seed(0)

    def _ablate(self, masks: Tensor) -> Tensor:
        return self._noise * torch.randn(len(masks), 1, generator=self._generator)


@final
class ClockedGame(Game):
    """Another game, with the seconds spent in it."""

    capabilities = frozenset({Capability.ABLATIONS})

    def __init__(self, game: Game) -> None:
        self._game, self.n_players, self.n_outputs, self.meter = game, game.n_players, game.n_outputs, Meter()
        self.seconds = 0.0

    def _ablate(self, masks: Tensor) -> Tensor:
        started = time.perf_counter()
        outputs = self._game._ablate(masks)
        self.seconds += time.perf_counter() - started
        return outputs


def msapy_row(scalar: bool, threads: int) -> Row:
    """Both process the same permutations of 100 players; msapy runs a forward pass with a hook for each coalition."""
    work = f"{_ORDERS} permutations of 100 hidden units, {'scalar' if scalar else 'vector of 60'}, {threads} thread(s)"
    least = 10 if threads == 1 else 15
    target = f">= {least}, equal to 1e-6"
    if reason := missing_package("msapy", "test"):
        return Row(work, NONE, reason, NONE, target, None)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    digits, rng = Digits(), np.random.default_rng(0)
    orders = [tuple(int(i) for i in rng.permutation(digits.hidden)) for _ in range(_ORDERS)]
    game = MeanGame(digits.game()) if scalar else digits.game()
    backwards = [np.array(order[::-1]) for order in orders]  # msapy lesions the first players of an order first
    from_orders(Evidence(game, _BUDGET), backwards[:5])  # warms up
    evidence = Evidence(game, _BUDGET)
    estimate, ours = timed(lambda: from_orders(evidence, backwards))
    reference, theirs = timed(lambda: _by_msapy(digits, orders, scalar))
    torch.set_num_threads(before)
    difference = float(np.abs(estimate.modes - reference).max())
    return Row(
        work=work,
        ours=f"{ours:.2f} s, {len(evidence)} evaluations",
        against=f"msapy {version('msapy')}: {theirs:.2f} s",
        figure=f"{theirs / ours:.1f}, differs by {difference:.0e}",
        target=target,
        met=theirs / ours >= least and difference <= 1e-6,
        values={"ours_s": ours, "msapy_s": theirs, "ratio": theirs / ours, "difference": difference},
    )


def _by_msapy(digits: Digits, orders: list[tuple[int, ...]], scalar: bool) -> np.ndarray:
    """Shapley values, shape (players, outputs), from these permutations."""
    from msapy import msa

    kept = torch.ones(digits.hidden)
    hook = digits.model[1].register_forward_hook(lambda _module, _args, out: out * kept)

    @torch.no_grad()
    def lesioned(players: tuple[int, ...]) -> np.ndarray | float:
        kept.fill_(1)
        kept[list(players)] = 0
        values = digits.readout(digits.model(digits.images)).numpy().astype(float)
        return float(values.mean()) if scalar else values

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        table = msa.get_shapley_table(
            permutation_space=orders,
            objective_function=lesioned,
            objective_function_params={},
            lazy=True,
            dual_progress_bars=False,
        )
    hook.remove()
    # one column per player: of a scalar, a row per permutation; of a vector, a row per output with the means already
    values = np.asarray(table, dtype=float)
    mean: np.ndarray = values.mean(axis=0)[:, None] if scalar else values.T
    return mean


def error_rows() -> list[Row]:
    """Error at 20,000 evaluations against 1.2 M antithetic ones for three seeds, and the estimator's time over the game's."""
    game = MeanGame(Digits().game())
    parts = [permutation_sampling(Evidence(game, 200_000), np.random.default_rng(1000 + s)) for s in range(6)]
    truth = np.mean([part.modes for part in parts], axis=0)
    variance = truth.var()
    found = []
    names: tuple[Estimator, ...] = ("regression", "kriging", "antithetic", "permutation")
    for name in names:
        errors, overheads, seconds = [], [], []
        for seed in range(_SEEDS):
            clocked = ClockedGame(game)
            work = partial(estimate_modes, Evidence(clocked, _BUDGET), name, np.random.default_rng(seed))
            estimate, taken = timed(work)
            errors.append(float(np.square(estimate.modes - truth).mean() / variance))
            overheads.append((taken - clocked.seconds) / clocked.seconds)
            seconds.append(taken)
        error, overhead = float(np.mean(errors)), float(np.mean(overheads))
        has_target = name == "regression"
        found.append(
            Row(
                work=f"the scalar game at {_BUDGET} evaluations: {name}",
                ours=f"nMSE {error:.4f} [{min(errors):.4f}, {max(errors):.4f}], {np.mean(seconds):.2f} s",
                against="1.2 M antithetic evaluations",
                figure=f"overhead {overhead:.2f} of the game's time",
                target="nMSE <= 0.027, overhead <= 0.5" if has_target else NONE,
                met=(error <= 0.027 and overhead <= 0.5) if has_target else None,
                values={"nmse": errors, "overhead": overheads, "seconds": seconds},
            )
        )
    return found


def overhead_row(name: Estimator, n: int, noise: float, target_seconds: float | None = None) -> Row:
    """An estimator on a game that costs nothing."""
    evidence = Evidence(InstantGame(n, noise), 4 * n)
    seconds = timed(lambda: estimate_modes(evidence, name, np.random.default_rng(0)))[1]
    peak = peak_gib()
    return Row(
        work=f"{name} on a game of {'noise' if noise else 'zeros'}, n = {n}, {4 * n} evaluations",
        ours=f"{seconds:.1f} s, peak {peak:.2f} GiB",
        against=NONE,
        figure=f"{seconds:.1f} s",
        target=f"<= {target_seconds:.0f} s, <= 1 GB" if target_seconds else "runs",
        met=seconds <= target_seconds and peak <= 1e9 / 2**30 if target_seconds else True,
        values={"seconds": seconds, "peak_gib": peak},
    )


def rows() -> list[Row]:
    """All rows. Overheads are measured first, because the peak memory is that of the process so far."""
    names: tuple[Estimator, ...] = ("regression", "kriging")
    overheads = [overhead_row(name, 2048, 0.0, 2) for name in names]
    overheads += [overhead_row(name, 2048, 1.0) for name in names]
    overheads.append(overhead_row("kriging", 14_336, 0.0))
    against = [msapy_row(scalar, threads) for scalar in (True, False) for threads in (1, 2)]
    return [*against, *error_rows(), *overheads]
