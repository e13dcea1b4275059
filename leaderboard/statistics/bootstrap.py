"""The statistics of the leaderboard: hierarchical bootstrap, paired comparisons, Holm's correction, shared ranks.

Every ranked number is a ratio of sums over the same queries, `sum_q a[q] / sum_q b[q]` (a mean if b is all ones),
averaged over the seeds of a method. Queries are resampled first: a resample is a row of counts, and all methods of a table
share the same rows. That makes comparisons paired: whatever makes a query hard for all methods cancels. Within each
resample, the seeds of each method are then resampled, independently of those of other methods, with which they have
nothing in common: what another seed would have proposed is part of the uncertainty.

Seeds are few, and queries may be. A bootstrap of few things is too narrow in two ways, both corrected:

- The spread over S resampled seeds is `sqrt((S - 1) / S)` of what it should be. Deviations are scaled up by
  `sqrt(S / (S - 1))` (Davison & Hinkley 1997, Bootstrap Methods, section 2.6), those of n resampled queries by
  `sqrt(n / (n - 1))`.
- A variance estimated from S values has S - 1 degrees of freedom. With V_q and V_s the parts of the queries and of each
  method's seeds in the variance V of a value or a difference, the degrees of freedom are Welch and Satterthwaite's,
  `V^2 / (V_q^2 / (n - 1) + sum over methods of V_s^2 / (S - 1))`. Intervals are stretched by Student's quantile over the
  normal one, and a tail probability is converted to standard errors and read in Student's distribution.

If no resample lies beyond 0, the share of resamples only says that p is small, and the standard errors are counted instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
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
    """A value with its bootstrap interval, or with the reason why the interval is missing."""

    value: float
    """The value itself, from all queries and seeds."""

    low: float | None
    """Lower end of the interval."""

    high: float | None
    """Upper end of the interval."""

    reason: str | None = None
    """Why the interval is missing; None if it is not."""


@dataclass(frozen=True)
class Difference:
    """First minus second with interval and two-sided p-value, or with the reason why these are missing."""

    value: float
    """The difference of the two values."""

    low: float | None
    """Lower end of the interval."""

    high: float | None
    """Upper end of the interval."""

    p: float | None
    """Two-sided p-value of no difference."""

    reason: str | None = None
    """Why interval and p-value are missing; None if they are not."""


def bootstrap_weights(n_queries: int, n_resamples: int = N_RESAMPLES, seed: int = SEED) -> Array:
    """How often each query is drawn in each resample: shape (n_resamples, n_queries), rows sum to `n_queries`.

    Rows are multinomial counts of `n_queries` draws with equal probabilities, the same for the same arguments.
    Raises `ValueError` unless both sizes are positive.
    """
    if n_queries < 1 or n_resamples < 1:
        raise ValueError(f"expected at least one query and one resample, got {n_queries} and {n_resamples}")
    counts = np.random.default_rng(seed).multinomial(n_queries, np.full(n_queries, 1 / n_queries), size=n_resamples)
    return counts.astype(np.float64)  # only ever multiplied with floats


@lru_cache(maxsize=8)
def shared_weights(n_queries: int) -> Array:
    """The default `bootstrap_weights`, kept between tables of the same number of queries and read-only."""
    weights = bootstrap_weights(n_queries)
    weights.setflags(write=False)
    return weights


@dataclass(frozen=True)
class Resampled:
    """A value and its resamples, or the reason why it cannot have an interval."""

    value: float
    """The value from all queries and seeds."""

    queries: Array | None
    """The value on every resample of the queries, shape (resamples,); None if there can be no interval."""

    seeds: Array | float = 0.0
    """What resampling the seeds adds to each resample of the queries."""

    n_queries: int = 0
    """Number of queries."""

    by_seed: tuple[tuple[float, int], ...] = ()
    """Variance of the mean over seeds and its degrees of freedom, for every method that goes into the value."""

    reason: str | None = None
    """Why there can be no interval; None if there can."""

    @property
    def draws(self) -> Array | None:
        """The value on every resample of queries and seeds."""
        return None if self.queries is None else self.queries + self.seeds

    @property
    def degrees_of_freedom(self) -> float:
        """Welch and Satterthwaite's; infinite if nothing varies."""
        if self.queries is None or self.draws is None:
            return float("inf")
        parts = [(variance, freedom) for variance, freedom in self.by_seed if variance]
        total = max(float(self.draws.var()), sum(variance for variance, _ in parts))
        parts.append((float(self.queries.var()), self.n_queries - 1))
        below = sum(variance**2 / freedom for variance, freedom in parts)
        return total**2 / below if below else float("inf")

    def interval(self, level: float = LEVEL) -> Interval:
        """The `(1 - level) / 2` and `(1 + level) / 2` quantiles of the draws, stretched about the value for few seeds."""
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
        """The paired difference `self - other`; both must come from the same weights.

        With `d*` the difference on each resample (one resample of the queries for both, one of the seeds for each), the
        interval has the percentiles of `d*`, and `p = min(1, 2 min(P(d* <= 0), P(d* >= 0)))` with
        `P = (1 + count) / (1 + resamples)`, which is 1 for equal methods; both allow for few seeds and queries as the
        module describes.
        """
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
        """Two-sided p-value of the value being 0; 1 without draws."""
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
    """`sum(a) / sum(b)` and `(w @ a) / (w @ b)` for each row `w` of `weights`, averaged over seeds.

    Below `minimum` queries there are no draws: resamples of a handful of queries say little about the next one.
    Shapes: (queries,) or (seeds, queries) twice, then (resamples, queries). `stream` makes the random numbers for resampling
    the seeds independent of those of other methods. Raises `ValueError` for a denominator that sums to zero.
    """
    numerators, denominators = np.atleast_2d(numerator), np.atleast_2d(denominator)
    if np.any((totals := denominators.sum(axis=1)) == 0):
        raise ValueError("expected a denominator that does not sum to zero")
    values = numerators.sum(axis=1) / totals
    value, n_queries = float(values.mean()), numerators.shape[1]
    if n_queries < minimum:
        reason = f"an interval needs at least {minimum} queries, got {n_queries}"
        if n_queries == 1:
            reason = "no interval: there is one value per task"
        return Resampled(value, None, reason=reason)
    # Not `weights @ a`: at these shapes, BLAS threads wait for each other 20 times longer than one of them computes.
    below = [np.vecdot(weights, row) for row in denominators]
    if any(np.any(row == 0) for row in below):
        return Resampled(value, None, reason="no interval: the denominator is zero in some resamples")
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
    """The factor by which the spread over resamples of n things is too small."""
    return float((n / (n - 1)) ** 0.5) if n > 1 else 1.0


def ratio_interval(numerator: Array, denominator: Array, weights: Array, level: float = LEVEL) -> Interval:
    """`sum(a) / sum(b)` with its bootstrap interval; shapes and errors as in `resample`."""
    return resample(numerator, denominator, weights).interval(level)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: rejecting those below alpha keeps the chance of any false one below alpha.

    For the sorted `p(1) <= ... <= p(m)`: `adjusted(i) = max_{j <= i} min(1, (m - j + 1) p(j))`.

    Reference: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def ranks(goodness: Sequence[float], separated: NDArray[np.bool_]) -> list[int]:
    """`rank(i) = 1 + number of j that are better than i and separated from it`.

    `goodness`: larger is better. `separated[i, j]`: the difference survives the correction (symmetric). "Not separated" is
    not transitive: a may tie with b and b with c while a beats c. Counting the methods that beat a method needs no
    transitivity, gives equal methods equal ranks and has an exact meaning: at rank 1, no method is demonstrably better.
    (Chatbot Arena ranks in the same way.) Ranks may therefore disagree with the order of values: an imprecisely measured
    method can rank above one with a better value. Tables sort by rank, then value.
    """
    values = np.asarray(goodness, dtype=float)
    beaten_by = separated & (values[None, :] > values[:, None])
    return [1 + int(n) for n in beaten_by.sum(axis=1)]


def worst_ranks(goodness: Sequence[float], separated: NDArray[np.bool_]) -> list[int]:
    """`n - number of j that are worse than i and separated from it`: the last place that the comparisons allow.

    `ranks` has the first such place. A method that ties with all others may have any place from 1 to n: ranking by the
    middle of this range, unlike ranking by its first place, does not reward imprecision.
    """
    return [len(goodness) + 1 - rank for rank in ranks([-value for value in goodness], separated)]


def minimum_detectable_difference(standard_error: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that a two-sided test at `alpha` detects with probability `power`.

    `(z(1 - alpha / 2) + z(power)) * standard_error`, with the standard error of the paired difference (the deviation of its
    resamples, or `sd / sqrt(n)`) and z the normal quantile. Raises `ValueError` for a negative standard error.
    """
    if standard_error < 0:
        raise ValueError(f"expected a standard error >= 0, got {standard_error}")
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * standard_error
