"""The statistics of the leaderboard: bootstrap over queries, paired comparisons, Holm's correction, shared ranks.

Every number that is ranked is a ratio of sums over the same queries, ``sum_q a[q] / sum_q b[q]`` (a mean where b is all
ones). A resample of the queries is a row of counts; the same rows are used for every method of a table, which is what
makes the comparisons paired: what makes a query hard for all methods cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MINIMUM_QUERIES = 10
N_RESAMPLES = 10_000
SEED = 20_261_122
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value with its bootstrap interval, or with the reason why there is no interval."""

    value: float
    low: float | None
    high: float | None
    reason: str | None = None


@dataclass(frozen=True)
class Difference:
    """First minus second, with interval and two-sided p-value, or with the reason why there are none."""

    value: float
    low: float | None
    high: float | None
    p: float | None
    reason: str | None = None


def bootstrap_weights(n_queries: int, n_resamples: int = N_RESAMPLES, seed: int = SEED) -> Array:
    """How often each query is drawn in each resample: ``(n_resamples, n_queries)``, every row sums to ``n_queries``.

    Rows are multinomial counts of ``n_queries`` draws with equal probabilities, the same for the same arguments.
    Raises ``ValueError`` unless both sizes are positive.
    """
    if n_queries < 1 or n_resamples < 1:
        raise ValueError(f"expected at least one query and one resample, got {n_queries} and {n_resamples}")
    counts = np.random.default_rng(seed).multinomial(n_queries, np.full(n_queries, 1 / n_queries), size=n_resamples)
    return counts.astype(np.float64)  # they are only ever multiplied with floats


@dataclass(frozen=True)
class Resampled:
    """A ratio and its value on every resample; ``draws`` is None, with the reason, where there can be no interval."""

    value: float
    draws: Array | None
    reason: str | None = None

    def interval(self, level: float = LEVEL) -> Interval:
        """The percentile interval: the ``(1 - level) / 2`` and ``(1 + level) / 2`` quantiles of the draws."""
        if self.draws is None:
            return Interval(self.value, None, None, self.reason)
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return Interval(self.value, float(low), float(high))

    def minus(self, other: Resampled, level: float = LEVEL) -> Difference:
        """See ``paired_difference``. Both must come from the same weights."""
        value = self.value - other.value
        if self.draws is None or other.draws is None:
            return Difference(value, None, None, None, self.reason or other.reason)
        draws = self.draws - other.draws
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        tail = 1 + min(int(np.sum(draws <= 0)), int(np.sum(draws >= 0)))
        return Difference(value, float(low), float(high), min(1.0, 2 * tail / (1 + len(draws))))


def resample(numerator: Array, denominator: Array, weights: Array, minimum: int = MINIMUM_QUERIES) -> Resampled:
    """``sum(a) / sum(b)`` and ``(w @ a) / (w @ b)`` for each row ``w`` of ``weights``.

    Below ``minimum`` queries there are no draws: the resamples of so few say little about the next query.
    Shapes: ``(q,)``, ``(q,)``, ``(resamples, q)``. Raises ``ValueError`` for a denominator that sums to zero.
    """
    if (total := float(denominator.sum())) == 0:
        raise ValueError("expected a denominator that does not sum to zero")
    value = float(numerator.sum()) / total
    if len(numerator) < minimum:
        return Resampled(value, None, f"{len(numerator)} queries are too few for an interval, {minimum} are needed")
    # Not ``weights @ a``: for shapes like these BLAS's threads wait for each other 20 times longer than one computes.
    below = np.vecdot(weights, denominator)
    if np.any(below == 0):
        return Resampled(value, None, "the denominator is zero in some resamples, so there is no interval")
    return Resampled(value, np.vecdot(weights, numerator) / below)


def ratio_interval(numerator: Array, denominator: Array, weights: Array, level: float = LEVEL) -> Interval:
    """``sum(a) / sum(b)`` with its percentile bootstrap interval; shapes and errors as in ``resample``."""
    return resample(numerator, denominator, weights).interval(level)


def paired_difference(
    first: tuple[Array, Array], second: tuple[Array, Array], weights: Array, level: float = LEVEL
) -> Difference:
    """The difference of two ratios over the same queries: first minus second, as (numerator, denominator) pairs.

    ``d = sum(a1) / sum(b1) - sum(a2) / sum(b2)``; ``d*`` is the same on each resample, with one resample for both.
    Interval: percentiles of ``d*``. Two-sided p-value: ``min(1, 2 min(P(d* <= 0), P(d* >= 0)))`` with
    ``P = (1 + count) / (1 + resamples)``, so that it is never 0 and, for equal methods, 1.
    Raises ``ValueError`` if the two are not over the same number of queries.
    """
    if len(first[0]) != len(second[0]):
        raise ValueError(f"expected the same queries for both, got {len(first[0])} and {len(second[0])}")
    return resample(*first, weights).minus(resample(*second, weights), level)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: rejecting those below alpha keeps the chance of any false rejection below alpha.

    For the sorted ``p(1) <= ... <= p(m)``: ``adjusted(i) = max_{j <= i} min(1, (m - j + 1) p(j))``. Same order as given.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def ranks(goodness: Sequence[float], separated: NDArray[np.bool_]) -> list[int]:
    """``rank(i) = 1 + number of j that are better than i and separated from it``.

    ``goodness``: larger is better. ``separated[i, j]``: the difference survived the correction (symmetric). "Not
    separated" is not transitive: a may tie with b and b with c while a beats c. Counting who beats a method needs no
    transitivity, gives equal methods equal ranks, and says something exact: rank 1 means that no method is
    demonstrably better. (Chatbot Arena ranks in the same way.) Ranks may therefore disagree with the order of values:
    a method that was measured imprecisely can have a better rank than one above it; tables sort by rank, then value.
    """
    values = np.asarray(goodness, dtype=float)
    beaten_by = separated & (values[None, :] > values[:, None])
    return [1 + int(n) for n in beaten_by.sum(axis=1)]


def minimum_detectable_difference(per_query_sd: float, n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that a two-sided test at ``alpha`` finds with probability ``power``.

    ``(z(1 - alpha / 2) + z(power)) * sd / sqrt(n)``, with ``sd`` that of the paired per-query differences and z the
    normal quantile. In the unit of ``per_query_sd``. Raises ``ValueError`` for ``n < 1`` or a negative ``sd``.
    """
    if n < 1 or per_query_sd < 0:
        raise ValueError(f"expected n >= 1 and a standard deviation >= 0, got {n} and {per_query_sd}")
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * per_query_sd / float(np.sqrt(n))


def difference_sd(first: tuple[Array, Array], second: tuple[Array, Array]) -> float:
    """The standard deviation over queries of the paired difference, for ``minimum_detectable_difference``.

    A query's part in a ratio r is ``(a[q] - r b[q]) / mean(b)`` (for a mean: its deviation from the mean).
    """
    return float(np.std(_influence(*first) - _influence(*second), ddof=1))


def _influence(numerator: Array, denominator: Array) -> Array:
    ratio = float(numerator.sum()) / float(denominator.sum())
    parts: Array = (numerator - ratio * denominator) / denominator.mean()
    return parts
