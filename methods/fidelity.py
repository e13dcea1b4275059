"""How well each affinity ranks pairs as their exact synergy on held-out inputs does: a table of rank correlations."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from coterie.methods.affinity import AFFINITIES, get_affinity
from coterie.methods.affinity_pas import pair_synergies
from coterie.tasks.errors import BudgetExceededError
from coterie.tasks.game import Game

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Fidelity:
    """One row. ``reason`` says why there is no number; ``evaluations`` and ``seconds`` are the affinity's, on discovery."""

    affinity: str
    spearman: float | None
    low: float | None
    high: float | None
    evaluations: int
    seconds: float
    notes: dict[str, Any]
    reason: str | None = None


def fidelity(
    discovery: Game,
    heldout: Game,
    query_of_output: Int[np.ndarray, " outputs"],
    budget: int,
    affinities: Iterable[str] = tuple(AFFINITIES),
    n_pairs: int = 500,
    replicates: int = 500,
    seed: int = 0,
) -> list[Fidelity]:
    """Spearman correlation over random pairs between each affinity and the exact synergy on held-out inputs.

    The affinity is measured on `discovery` with at most `budget` evaluations, the exact ``psi_ij`` on `heldout` by joint
    ablation, for the same `n_pairs` pairs (all, where there are fewer). The interval is a 95 % percentile bootstrap that
    draws pairs AND held-out queries anew in each replicate; `query_of_output` gives each held-out output's query.

    The row ``pas`` compares exact synergies on both sets of inputs for these pairs, whatever the budget is: the best that
    an affinity from the discovery inputs can do. Its evaluations are those of all pairs.
    """
    rng, n = np.random.default_rng(seed), heldout.n_players
    pairs = np.column_stack(np.triu_indices(n, 1))
    if not len(pairs):
        raise ValueError(f"fidelity: expected two players or more, got {n}; fix: a game with pairs")
    pairs = pairs[np.sort(rng.choice(len(pairs), min(n_pairs, len(pairs)), replace=False))]
    truth = pair_synergies(heldout, pairs)
    draws = _Draws.of(rng, len(pairs), query_of_output, replicates)
    return [_row(name, discovery, pairs, truth, budget, draws) for name in affinities]


@dataclass(frozen=True)
class _Draws:
    """The bootstrap's draws, the same for every affinity: pairs, and how often each output's query was drawn."""

    pairs: Int[np.ndarray, "replicates pairs"]
    weights: Float[np.ndarray, "replicates outputs"]

    @classmethod
    def of(
        cls, rng: np.random.Generator, n_pairs: int, query_of_output: Int[np.ndarray, " outputs"], replicates: int
    ) -> _Draws:
        queries = np.unique(query_of_output, return_inverse=True)[1]
        count = int(queries.max()) + 1
        times = rng.multinomial(count, np.full(count, 1 / count), size=replicates)
        return cls(rng.integers(0, n_pairs, (replicates, n_pairs)), times[:, queries].astype(float))


def _row(
    name: str,
    discovery: Game,
    pairs: Int[np.ndarray, "pairs 2"],
    truth: Float[np.ndarray, "pairs outputs"],
    budget: int,
    draws: _Draws,
) -> Fidelity:
    affinity, n = get_affinity(name), discovery.n_players
    missing = sorted(affinity.sees - discovery.capabilities)
    if missing:
        return Fidelity(name, None, None, None, 0, 0.0, {}, f"needs {', '.join(missing)}")
    notes: dict[str, Any] = {}
    started = time.perf_counter()
    game = discovery.restricted_to(affinity.sees, None if name == "pas" else budget)
    try:
        if name == "pas":
            guess = pair_synergies(game, pairs).mean(axis=1)
        else:
            phi, notes = affinity.measure(game, budget)
            guess = phi[pairs[:, 0], pairs[:, 1]]
    except BudgetExceededError as error:
        return Fidelity(name, None, None, None, game.meter.total, 0.0, {}, str(error))
    seconds = time.perf_counter() - started
    evaluations = n * (n - 1) // 2 + n + 1 if name == "pas" else game.meter.total
    value = _spearman(guess, truth.mean(axis=1))
    if np.isnan(value):
        return Fidelity(name, None, None, None, evaluations, seconds, notes, "all pairs are the same")
    again = [
        _spearman(guess[chosen], truth[chosen] @ weight)
        for chosen, weight in zip(draws.pairs, draws.weights, strict=True)
    ]
    low, high = np.nanquantile(again, [0.025, 0.975])
    return Fidelity(name, value, float(low), float(high), evaluations, seconds, notes)


def _spearman(left: Float[np.ndarray, " pairs"], right: Float[np.ndarray, " pairs"]) -> float:
    """Pearson correlation of the ranks; nan where one side has no two different values."""
    a, b = (ranks - ranks.mean() for ranks in (rankdata(left), rankdata(right)))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")
