"""From coalitions to scores: every metric on every domain, with intervals over queries, or the reason why not."""

from __future__ import annotations

import numpy as np

from coterie.benchmark.bench import Bench
from coterie.benchmark.metrics.base import Contribution, Metric
from coterie.benchmark.metrics.registry import list_metrics
from coterie.leaderboard.statistics import bootstrap_weights, ratio_interval
from coterie.methods.coalitions import Coalitions
from coterie.tracking.record import Measure


def score(bench: Bench, coalitions: Coalitions) -> list[Measure]:
    """All metrics of the protocol that apply to the task, for one method's coalitions.

    A method with no eligible coalition gets measures without a value, with the sizes that it answered as the reason.
    """
    evaluated = bench.eligible(coalitions)
    measures: list[Measure] = []
    for metric in (kind() for kind in list_metrics().values() if kind.needs <= bench.gives):
        if not evaluated:
            measures += [_missing(metric, domain, _why_none(bench, coalitions)) for domain in metric.ranked_domains]
            continue
        for part in metric.measure(bench, evaluated):
            measures.append(_measure(metric, part, bench))
    return measures


def _measure(metric: Metric, part: Contribution, bench: Bench) -> Measure:
    difference = part.numerator - part.control
    total = float(part.denominator.sum())
    if total == 0 or not np.isfinite(difference).all():
        return _missing(metric, part.domain, "not finite: the target does not vary on these queries")
    weights = bootstrap_weights(len(difference), bench.settings.resamples, bench.settings.seed)
    interval = ratio_interval(difference, part.denominator, weights)
    return Measure(
        metric=metric.name,
        domain=part.domain,
        unit=metric.unit,
        meaning=metric.summary,
        higher_is_better=metric.higher_is_better,
        primary=part.domain in metric.ranked_domains,
        value=float(difference.sum()) / total,
        low=interval.low,
        high=interval.high,
        method_value=float(part.numerator.sum()) / total,
        control_value=float(part.control.sum()) / total,
        numerator=difference.tolist(),
        denominator=part.denominator.tolist(),
    )


def _missing(metric: Metric, domain: str, reason: str) -> Measure:
    return Measure(
        metric=metric.name,
        domain=domain,
        unit=metric.unit,
        meaning=metric.summary,
        higher_is_better=metric.higher_is_better,
        primary=domain in metric.ranked_domains,
        value=None,
        low=None,
        high=None,
        method_value=None,
        control_value=None,
        reason=reason,
    )


def _why_none(bench: Bench, coalitions: Coalitions) -> str:
    largest = int(bench.n_players * bench.settings.largest_share)
    sizes = sorted(coalitions.sizes, reverse=True)
    shown = ", ".join(map(str, sizes[:5])) + (", ..." if len(sizes) > 5 else "")
    return (
        f"no coalition of {bench.settings.smallest} to {largest} players among {len(sizes)} (sizes: {shown or 'none'})"
    )
