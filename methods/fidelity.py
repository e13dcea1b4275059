"""How well each affinity ranks pairs by their exact synergy on held-out inputs: a table of rank correlations."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from coterie.methods.affinity import AFFINITIES, get_affinity
from coterie.methods.affinity_pas import pair_synergies
from coterie.tasks.errors import BudgetExceededError
from coterie.tasks.game import Game

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Fidelity:
    """One row of the table."""

    affinity: str
    """Name of the affinity."""
    spearman: float | None
    """Rank correlation with the exact synergy; None if it could not be computed."""
    low: float | None
    """Lower end of its 95 % interval."""
    high: float | None
    """Upper end of its 95 % interval."""
    evaluations: int
    """Evaluations that the affinity cost on the discovery inputs."""
    seconds: float
    """Seconds that this took."""
    notes: dict[str, Any]
    """What the affinity reports about itself, such as the rank and the error of a sketch."""
    reason: str | None = None
    """Why there is no correlation; None if there is one."""


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

    The affinity is measured on `discovery` with at most `budget` evaluations, the exact synergy on `heldout` by joint
    ablation, for the same `n_pairs` pairs (all of them if there are fewer). The interval is a 95 % percentile bootstrap
    that resamples both pairs and held-out queries in each replicate; `query_of_output` names the query of each held-out
    output.

    The row `pas` compares exact synergies on the two sets of inputs for these pairs, whatever the budget: the best that an
    affinity measured on the discovery inputs can achieve. Its evaluations are the number that all pairs would cost.

    Raises `ValueError` for a game of fewer than two players.
    """
    rng, n = np.random.default_rng(seed), heldout.n_players
    pairs = np.column_stack(np.triu_indices(n, 1))
    if not len(pairs):
        raise ValueError(f"fidelity: expected at least two players, got {n}; fix: a layer with more units")
    pairs = pairs[np.sort(rng.choice(len(pairs), min(n_pairs, len(pairs)), replace=False))]
    truth = pair_synergies(heldout, pairs)
    draws = _Draws.of(rng, len(pairs), query_of_output, replicates)
    return [_row(name, discovery, pairs, truth, budget, draws) for name in affinities]


@dataclass(frozen=True)
class _Draws:
    """The draws of the bootstrap, the same for every affinity."""

    pairs: Int[np.ndarray, "replicates pairs"]
    """Positions of the pairs drawn."""
    weights: Float[np.ndarray, "replicates outputs"]
    """How often the query of each output was drawn."""

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
        return Fidelity(name, None, None, None, evaluations, seconds, notes, "all pairs have the same value")
    again = [
        _spearman(guess[chosen], truth[chosen] @ weight)
        for chosen, weight in zip(draws.pairs, draws.weights, strict=True)
    ]
    low, high = np.nanquantile(again, [0.025, 0.975])
    return Fidelity(name, value, float(low), float(high), evaluations, seconds, notes)


def _spearman(left: Float[np.ndarray, " pairs"], right: Float[np.ndarray, " pairs"]) -> float:
    """The rank correlation; nan if one side is constant, for which scipy would warn."""
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return float("nan")
    return float(spearmanr(left, right).statistic)
