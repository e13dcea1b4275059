"""Permutation sampling: mean marginal contributions over random orders, with standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from coterie.methods.msa.estimate import Estimate, is_additive
from coterie.methods.msa.sampling import prefixes

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from coterie.methods.msa.evidence import Evidence

_AT_ONCE = 4096  # coalitions of several orders requested at a time


@dataclass
class _Running:
    """Running mean and squared deviations of samples (Welford)."""

    count: int = 0
    """Number of samples."""
    mean: Float[np.ndarray, "players outputs"] | float = 0.0
    """Their mean."""
    deviations: Float[np.ndarray, "players outputs"] | float = 0.0
    """Sum of their squared deviations from the mean."""

    def add(self, sample: Float[np.ndarray, "players outputs"]) -> None:
        self.count += 1
        step = sample - self.mean
        self.mean = self.mean + step / self.count
        self.deviations = self.deviations + step * (sample - self.mean)

    def estimate(self, name: str, evidence: Evidence) -> Estimate:
        errors = None if self.count < 2 else np.sqrt(self.deviations / (self.count - 1) / self.count)
        return Estimate(np.asarray(self.mean), errors, f"{name} ({self.count})", len(evidence))


def marginals(evidence: Evidence, order: Int[np.ndarray, " players"]) -> Float[np.ndarray, "players outputs"]:
    """Return v(first k players) - v(first k - 1 players) for the k-th of the order, in at most n - 1 evaluations."""
    rows = np.r_[0, evidence.evaluate(prefixes(order)), 1]
    contributions = np.empty((evidence.n_players, evidence.n_outputs))
    contributions[order] = np.diff(evidence.values(rows), axis=0)
    return contributions


def truncated_marginals(
    evidence: Evidence, order: Int[np.ndarray, " players"], truncation: float
) -> Float[np.ndarray, "players outputs"]:
    """Return `marginals`, but stop when |v(N) - v(prefix)| <= truncation * |v(N) - v(empty)| (root mean squares).

    The remaining players share the rest equally. This is biased, because it misses a late player that matters (Ghorbani & Zou
    2019 truncate to zero; equal shares keep efficiency). An eighth of the order is evaluated at a time.
    """
    n, chain = evidence.n_players, prefixes(order)
    values = [evidence.values([0])]
    full, scale = evidence.values([1])[0], np.linalg.norm(evidence.total)
    done = 0
    for start in range(0, n - 1, max(1, n // 8)):
        values.append(evidence.values(evidence.evaluate(chain[start : start + max(1, n // 8)])))
        done += len(values[-1])
        if np.linalg.norm(full - values[-1][-1]) <= truncation * scale:
            break
    contributions = np.empty((n, evidence.n_outputs))
    known = np.diff(np.concatenate(values), axis=0)
    contributions[order[:done]] = known
    contributions[order[done:]] = (full - values[-1][-1]) / (n - done)
    return contributions


def from_orders(evidence: Evidence, orders: Sequence[Int[np.ndarray, " players"]]) -> Estimate:
    """Return Shapley modes from these permutations, each one sample."""
    running, at_once = _Running(), max(1, _AT_ONCE // evidence.n_players)
    for start in range(0, len(orders), at_once):
        batch = [np.asarray(order) for order in orders[start : start + at_once]]
        evidence.evaluate(np.concatenate([prefixes(order) for order in batch]))
        for order in batch:
            running.add(marginals(evidence, order))
    return running.estimate("permutations", evidence)


def permutation_sampling(
    evidence: Evidence,
    rng: np.random.Generator,
    antithetic: bool = True,
    precision: float | None = None,
    truncation: float | None = None,
    most: int | None = None,
) -> Estimate:
    """Sample random permutations until the budget is spent (or `most` samples are drawn).

    A sample is a permutation or, if `antithetic`, the mean over it and its reverse, which cancels every interaction of even
    order: its 2 (n - 1) coalitions are n - 1 pairs of complements, which the regressions can use too. Standard errors come
    from the spread of at least two samples. Sampling stops early when the largest player error is at most `precision` times
    the root mean square of the modes, and after a first sample that shows the game to be additive, since it is then exact.

    `truncation` shortens each permutation (see `truncated_marginals`). Raises `BudgetExceededError` if the budget does not
    allow a single sample, and `ValueError` if nothing bounds the number of samples.
    """
    name = "antithetic permutations" if antithetic else "permutations"
    if most is None and precision is None:
        most = max(1, evidence.left)  # more than it can afford, but finite
    running = _Running()
    while most is None or running.count < most:
        order = rng.permutation(evidence.n_players)
        orders = [order, order[::-1]] if antithetic else [order]
        if running.count and (evidence.complete or not evidence.affords(_cost(evidence, orders))):
            break
        if truncation is None:
            parts = [marginals(evidence, one) for one in orders]
        else:
            parts = [truncated_marginals(evidence, one, truncation) for one in orders]
        running.add(np.mean(parts, axis=0))
        now = running.estimate(name, evidence)
        if running.count == 1 and is_additive(evidence, now.modes):
            break
        error, scale = now.player_errors, np.sqrt(np.square(now.modes).mean())
        if precision is not None and error is not None and error.max() <= precision * scale:
            break
    return running.estimate(name, evidence)


def _cost(evidence: Evidence, orders: Sequence[Int[np.ndarray, " players"]]) -> int:
    return evidence.new(np.concatenate([prefixes(order) for order in orders]))
