"""One metric of one task: intervals, paired comparisons and ranks of its contestants."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Self

import numpy as np

from coterie.leaderboard.board.types import Comparison, MetricBoard, Row
from coterie.leaderboard.statistics.bootstrap import (
    Array,
    Resampled,
    holm,
    minimum_detectable_difference,
    ranks,
    resample,
    shared_weights,
    worst_ranks,
)
from coterie.tracking.record import Measure

ALPHA = 0.05


@dataclass(frozen=True)
class Contestant:
    """An entry in the comparison of one metric."""

    row: Row
    """Its row of the table, without interval and rank."""

    arrays: tuple[Array, Array] | None = None
    """Numerator and denominator, each of shape (seeds, queries); None if the entry cannot be tested."""

    @classmethod
    def of_seeds(cls, row: Row, measures: Sequence[Measure]) -> Self:
        """Combine an entry's measures, one per seed; `row` has the mean values. Without arrays it has a value, but no test.

        Intervals that come with the measures (exact ones, say) are kept, as the hull over seeds.
        """
        lengths = {len(measure.numerator) for measure in measures}
        if len(lengths) > 1:
            found = ", ".join(str(n) for n in sorted(lengths))
            return cls(_unranked(row, f"seeds were measured on different numbers of queries ({found})"))
        if lengths == {0}:
            lows, highs = (
                [m.low for m in measures if m.low is not None],
                [m.high for m in measures if m.high is not None],
            )
            hull = {"low": min(lows), "high": max(highs)} if lows and highs else {}
            return cls(row.model_copy(update={"reason": "not comparable: no values per query", **hull}))
        numerator = np.array([measure.numerator for measure in measures])
        denominator = np.array([measure.denominator for measure in measures])
        if np.any(denominator.sum(axis=1) == 0):
            return cls(_unranked(row, "the denominator is zero"))
        value = float((numerator.sum(axis=1) / denominator.sum(axis=1)).mean())
        return cls(row.model_copy(update={"value": value}), (numerator, denominator))


def rank_metric(template: Measure, contestants: Sequence[Contestant]) -> MetricBoard:
    """Intervals for all contestants and, if the metric is primary, ranks for those measured on the same queries.

    All pairs of a table form one family for Holm's correction at 0.05.
    """
    sizes = Counter(c.arrays[0].shape[1] for c in contestants if c.arrays)
    n_queries = max(sizes, key=lambda n: (sizes[n], n), default=0)
    contestants = [_only_on(contestant, n_queries) for contestant in contestants]
    sign = 1.0 if template.higher_is_better else -1.0
    testable = [(c.row, _resampled(c, n_queries)) for c in contestants if c.arrays]
    rows, comparisons = _compare(testable, sign, template.primary)
    rows += [contestant.row for contestant in contestants if not contestant.arrays]
    return MetricBoard(
        metric=template.metric,
        domain=template.domain,
        unit=template.unit,
        meaning=template.meaning,
        higher_is_better=template.higher_is_better,
        primary=template.primary,
        n_queries=n_queries,
        detectable_difference=_detectable([resampled for _, resampled in testable]),
        note=_why_unranked(rows) if template.primary and not any(row.rank for row in rows) else None,
        rows=sorted(rows, key=lambda row: _order(row, sign)),
        comparisons=comparisons,
    )


def _resampled(contestant: Contestant, n_queries: int) -> Resampled:
    """Resample an entry. Its random numbers depend on its label only, not on what else is on the board."""
    assert contestant.arrays is not None  # noqa: S101 - the caller's filter, for the type checker
    stream = zlib.crc32(contestant.row.entry.encode())
    return resample(*contestant.arrays, shared_weights(n_queries), stream=stream)


def _compare(
    measured: Sequence[tuple[Row, Resampled]], sign: float, ranked: bool
) -> tuple[list[Row], list[Comparison]]:
    """Every contestant's row with its interval and, if it has one, its rank; and all pairs of ranked contestants."""
    rows = [(_with_interval(row, resampled), resampled) for row, resampled in measured]
    if not ranked:
        return [row for row, _ in rows], []
    able = [(row, resampled) for row, resampled in rows if resampled.queries is not None]
    unable = [row for row, resampled in rows if resampled.queries is None]
    comparisons = _comparisons([row.entry for row, _ in able], [resampled for _, resampled in able])
    separated = np.zeros((len(able), len(able)), dtype=bool)
    for (i, j), comparison in zip(combinations(range(len(able)), 2), comparisons, strict=True):
        separated[i, j] = separated[j, i] = comparison.p_holm < ALPHA
    goodness = [sign * resampled.value for _, resampled in able]
    places = list(zip(ranks(goodness, separated), worst_ranks(goodness, separated), strict=True))
    ties = [[o.entry for j, (o, _) in enumerate(able) if j != i and not separated[i, j]] for i in range(len(able))]
    changes = [
        {"rank": first, "worst_rank": last, "tied_with": names}
        for (first, last), names in zip(places, ties, strict=True)
    ]
    return [r.model_copy(update=c) for (r, _), c in zip(able, changes, strict=True)] + unable, comparisons


def _comparisons(names: Sequence[str], resampled: Sequence[Resampled]) -> list[Comparison]:
    """All pairs, in the order of `itertools.combinations`. Every contestant has draws."""
    pairs = list(combinations(range(len(names)), 2))
    differences = [resampled[i].minus(resampled[j]) for i, j in pairs]
    adjusted = holm([d.p for d in differences if d.p is not None])
    return [
        Comparison(first=names[i], second=names[j], difference=d.value, low=d.low, high=d.high, p=d.p, p_holm=corrected)
        for (i, j), d, corrected in zip(pairs, differences, adjusted, strict=True)
        if d.low is not None and d.high is not None and d.p is not None
    ]


def _with_interval(row: Row, resampled: Resampled) -> Row:
    interval = resampled.interval()
    return row.model_copy(update={"low": interval.low, "high": interval.high, "reason": interval.reason})


def _only_on(contestant: Contestant, n_queries: int) -> Contestant:
    """A contestant measured on other queries than most keeps its value, but is not compared."""
    if contestant.arrays is None or contestant.arrays[0].shape[1] == n_queries:
        return contestant
    found = contestant.arrays[0].shape[1]
    reason = f"not comparable: measured on {found} queries, the others on {n_queries}"
    return Contestant(contestant.row.model_copy(update={"reason": reason}))


def _detectable(resampled: Sequence[Resampled]) -> float | None:
    """The detectable difference of the median pair, after Bonferroni's correction; pairs equal on all resamples do not count."""
    draws = [r.draws for r in resampled if r.draws is not None]
    errors = [error for one, two in combinations(draws, 2) if (error := float(np.std(one - two))) > 0]
    n_pairs = len(draws) * (len(draws) - 1) // 2
    return minimum_detectable_difference(median(errors), ALPHA / n_pairs) if errors else None


def _why_unranked(rows: Sequence[Row]) -> str:
    measured = [row for row in rows if row.value is not None]
    if not measured:
        return "Nothing is ranked: no entry has a result."
    return f"Nothing is ranked: {measured[0].reason}."


def _order(row: Row, sign: float) -> tuple[float, float, str]:
    """Sort key: by rank, then value, then name; rows without rank or value come last."""
    infinity = float("inf")
    return (
        infinity if row.rank is None else row.rank,
        infinity if row.value is None else -sign * row.value,
        row.entry,
    )


def _unranked(row: Row, reason: str) -> Row:
    nothing = {"value": None, "method_value": None, "control_value": None}
    return row.model_copy(update={**nothing, "reason": reason})
