"""The statistics of the leaderboard: hierarchical bootstrap, paired comparisons, Holm's correction, shared ranks.

Every number that is ranked is a ratio of sums over the same queries, ``sum_q a[q] / sum_q b[q]`` (a mean where b is all
ones), averaged over the seeds of a method. Queries are resampled first: a resample is a row of counts, and the same rows
are used for every method of a table, which is what makes the comparisons paired: what makes a query hard for all methods
cancels. Then, within each resample, the seeds of each method are resampled, independently of other methods, whose seeds
have nothing in common with them: what another seed would have proposed is part of what is not known.

Seeds are few, queries may be, and a bootstrap of few things is too narrow in two ways, both mended here. The spread over
S resampled seeds is ``sqrt((S - 1) / S)`` of what it should be: deviations are scaled up by ``sqrt(S / (S - 1))`` (Davison
& Hinkley 1997, Bootstrap Methods, section 2.6), those of n resampled queries by ``sqrt(n / (n - 1))``. And a variance
estimated from S values has S - 1 degrees of freedom: with V_q and V_s the parts of the queries and of each method's seeds
in the variance V of a value or a difference, the degrees of freedom are Welch and Satterthwaite's,
``V^2 / (V_q^2 / (n - 1) + sum over methods of V_s^2 / (S - 1))``, intervals are stretched by Student's quantile over the
normal one, and a tail probability is read as the same number of standard errors in Student's distribution. Where no
resample lies beyond 0, their share says only that it is small: the number of standard errors is then counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

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
    """A value and what it is on every resample, or with the reason, and no draws, where there can be no interval.

    ``queries``: the value on every resample of the queries. ``seeds``: what resampling the seeds as well adds to each.
    ``by_seed``: the variance of the mean over seeds, and its degrees of freedom, of every method that it is made of.
    """

    value: float
    queries: Array | None
    seeds: Array | float = 0.0
    n_queries: int = 0
    by_seed: tuple[tuple[float, int], ...] = ()
    reason: str | None = None

    @property
    def draws(self) -> Array | None:
        """The value on every resample of queries and seeds."""
        return None if self.queries is None else self.queries + self.seeds

    @property
    def degrees_of_freedom(self) -> float:
        """Welch and Satterthwaite's; infinite where nothing varies."""
        if self.queries is None or self.draws is None:
            return float("inf")
        parts = [(variance, freedom) for variance, freedom in self.by_seed if variance]
        total = max(float(self.draws.var()), sum(variance for variance, _ in parts))
        parts.append((float(self.queries.var()), self.n_queries - 1))
        below = sum(variance**2 / freedom for variance, freedom in parts)
        return total**2 / below if below else float("inf")

    def interval(self, level: float = LEVEL) -> Interval:
        """The ``(1 - level) / 2`` and ``(1 + level) / 2`` quantiles of the draws, stretched about the value for few seeds."""
        if (draws := self.draws) is None:
            return Interval(self.value, None, None, self.reason)
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        stretch, freedom = 1.0, self.degrees_of_freedom
        if np.isfinite(freedom):
            stretch = float(stdtrit(freedom, (1 + level) / 2) / ndtri((1 + level) / 2))
        return Interval(
            self.value, self.value + stretch * float(low - self.value), self.value + stretch * float(high - self.value)
        )

    def minus(self, other: Resampled, level: float = LEVEL) -> Difference:
        """See ``paired_difference``. Both must come from the same weights."""
        value = self.value - other.value
        if self.queries is None or other.queries is None:
            return Difference(value, None, None, None, self.reason or other.reason)
        both = Resampled(
            value,
            self.queries - other.queries,
            self.seeds - other.seeds,
            self.n_queries,
            (*self.by_seed, *other.by_seed),
        )
        interval = both.interval(level)
        return Difference(value, interval.low, interval.high, both.p_value())

    def p_value(self) -> float:
        """Two-sided p of the value being 0; 1 where there are no draws."""
        if (draws := self.draws) is None:
            return 1.0
        beyond = min(int(np.sum(draws <= 0)), int(np.sum(draws >= 0)))
        p, error, freedom = min(1.0, 2 * (1 + beyond) / (1 + len(draws))), float(draws.std()), self.degrees_of_freedom
        if p == 1 or np.isinf(freedom):
            return p
        errors = float(ndtri(p / 2))
        if beyond == 0 and error > 0:
            errors = min(errors, -abs(self.value) / error)
        return 2 * float(stdtr(freedom, errors))


def resample(
    numerator: Array, denominator: Array, weights: Array, minimum: int = MINIMUM_QUERIES, stream: int = 0
) -> Resampled:
    """``sum(a) / sum(b)`` and ``(w @ a) / (w @ b)`` for each row ``w`` of ``weights``, averaged over seeds.

    Below ``minimum`` queries there are no draws: the resamples of so few say little about the next query.
    Shapes: ``(q,)`` or ``(seeds, q)`` twice, ``(resamples, q)``. ``stream`` tells the random numbers that resample the
    seeds from those of other methods. Raises ``ValueError`` for a denominator that sums to zero.
    """
    numerators, denominators = np.atleast_2d(numerator), np.atleast_2d(denominator)
    if np.any((totals := denominators.sum(axis=1)) == 0):
        raise ValueError("expected a denominator that does not sum to zero")
    values = numerators.sum(axis=1) / totals
    value, n_queries = float(values.mean()), numerators.shape[1]
    if n_queries < minimum:
        return Resampled(value, None, reason=f"{n_queries} queries are too few for an interval, {minimum} are needed")
    # Not ``weights @ a``: for shapes like these BLAS's threads wait for each other 20 times longer than one computes.
    below = [np.vecdot(weights, row) for row in denominators]
    if any(np.any(row == 0) for row in below):
        return Resampled(value, None, reason="the denominator is zero in some resamples, so there is no interval")
    draws = np.stack([np.vecdot(weights, row) / under for row, under in zip(numerators, below, strict=True)])
    mean, n_seeds = draws.mean(axis=0), len(values)
    queries = value + (mean - value) * _widened(n_queries)
    if n_seeds == 1 or np.ptp(draws, axis=0).max() == 0:
        return Resampled(value, queries, n_queries=n_queries)
    picked = np.random.default_rng([SEED, stream]).integers(n_seeds, size=draws.shape)
    deviation = np.take_along_axis(draws, picked, axis=0).mean(axis=0) - mean
    variance = float(values.var(ddof=1)) / n_seeds
    return Resampled(value, queries, deviation * _widened(n_seeds), n_queries, ((variance, n_seeds - 1),))


def _widened(n: int) -> float:
    """By how much the spread over resamples of n things is too small."""
    return float((n / (n - 1)) ** 0.5) if n > 1 else 1.0


def ratio_interval(numerator: Array, denominator: Array, weights: Array, level: float = LEVEL) -> Interval:
    """``sum(a) / sum(b)`` with its bootstrap interval; shapes and errors as in ``resample``."""
    return resample(numerator, denominator, weights).interval(level)


def paired_difference(
    first: tuple[Array, Array], second: tuple[Array, Array], weights: Array, level: float = LEVEL
) -> Difference:
    """The difference of two ratios over the same queries: first minus second, as (numerator, denominator) pairs.

    ``d = sum(a1) / sum(b1) - sum(a2) / sum(b2)``, each averaged over its seeds; ``d*`` is the same on each resample, with
    one resample of the queries for both and one of the seeds for each. Interval: percentiles of ``d*``. Two-sided
    p-value: ``min(1, 2 min(P(d* <= 0), P(d* >= 0)))`` with ``P = (1 + count) / (1 + resamples)``, which is 1 for equal
    methods. Both allow for few seeds and queries as the module says. Arrays are ``(q,)`` or ``(seeds, q)``.
    Raises ``ValueError`` if the two are not over the same number of queries.
    """
    if first[0].shape[-1] != second[0].shape[-1]:
        raise ValueError(f"expected the same queries for both, got {first[0].shape[-1]} and {second[0].shape[-1]}")
    one, other = resample(*first, weights, stream=1), resample(*second, weights, stream=2)
    return one.minus(other, level)


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


def worst_ranks(goodness: Sequence[float], separated: NDArray[np.bool_]) -> list[int]:
    """``n - number of j that are worse than i and separated from it``: the last place that the comparisons allow.

    With ``ranks``, the first one, it is the range of places of a method. Who cannot be told from anybody has all of
    1 .. n: the middle of the range rewards no imprecision, as the first place alone would.
    """
    return [len(goodness) + 1 - rank for rank in ranks([-value for value in goodness], separated)]


def minimum_detectable_difference(standard_error: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that a two-sided test at ``alpha`` finds with probability ``power``.

    ``(z(1 - alpha / 2) + z(power)) * standard_error``, with the standard error that of the paired difference (the
    deviation of its resamples, or ``sd / sqrt(n)``) and z the normal quantile. Raises ``ValueError`` for a negative one.
    """
    if standard_error < 0:
        raise ValueError(f"expected a standard error >= 0, got {standard_error}")
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * standard_error
