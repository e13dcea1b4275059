"""From coalitions to scores: every metric on every domain, with intervals over queries or the reason for a missing value."""

from __future__ import annotations

from typing import Any

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric
from coterie.benchmark.protocol.metrics.registry import list_metrics
from coterie.leaderboard.statistics.bootstrap import bootstrap_weights, ratio_interval
from coterie.methods.coalitions import Coalitions
from coterie.tracking.record import Measure

_NO_TRANSFER = "the task has no transfer domain (data.transfer)"
_LISTED_SIZES = 5  # in a reason


def score(bench: Bench, coalitions: Coalitions, seed: int) -> list[Measure]:
    """Measure a method's coalitions of one seed with every metric that applies to the task.

    If the task has judgements but no transfer domain, measures on transfer have no value, say so as the reason, and are not
    ranked. If no coalition has an eligible size, measures have no value and list the sizes as the reason, except for the
    metrics that judge coalitions of any size.
    """
    provided = bench.provides
    answer = Answer(coalitions, [bench.draw(group, seed) for group in bench.eligible(coalitions)])
    measures: list[Measure] = []
    for metric in (kind() for kind in list_metrics().values() if kind.needs <= provided | {"transfer"}):
        domains = [domain for domain in metric.domains if domain != "transfer" or "transfer" in provided]
        if metric.needs <= provided and (answer.evaluated or metric.any_size):
            measures += [_measure(metric, part, bench) for part in metric.measure(bench, answer)]
        else:
            measures += [_missing(metric, domain, _none_eligible(bench, coalitions)) for domain in domains]
        if "judgements" in provided:
            measures += [_missing(metric, d, _NO_TRANSFER, ranked=False) for d in metric.domains if d not in domains]
    return measures


def _measure(metric: Metric, part: Contribution | Figure, bench: Bench) -> Measure:
    if isinstance(part, Figure):
        return _figure(metric, part)
    difference = part.numerator - part.control
    total = float(part.denominator.sum())
    if total == 0 or not np.isfinite(difference).all():
        return _missing(metric, part.domain, "not finite: the target does not vary on these queries")
    weights = bootstrap_weights(len(difference), bench.settings.resamples, bench.settings.seed)
    interval = ratio_interval(difference, part.denominator, weights)
    return Measure(
        **_described(metric, part.domain),
        value=float(difference.sum()) / total,
        low=interval.low,
        high=interval.high,
        method_value=float(part.numerator.sum()) / total,
        control_value=float(part.control.sum()) / total,
        numerator=difference.tolist(),
        denominator=part.denominator.tolist(),
        noise_floor=part.noise_floor,
        discovery_value=part.discovery,
        curve=list(part.curve),
    )


def _figure(metric: Metric, part: Figure) -> Measure:
    return Measure(
        **{**_described(metric, part.domain), "primary": False},
        value=part.value,
        low=part.low,
        high=part.high,
        method_value=part.value,
        control_value=part.control,
        note=part.note,
    )


def _missing(metric: Metric, domain: str, reason: str, ranked: bool = True) -> Measure:
    nothing = dict.fromkeys(("value", "low", "high", "method_value", "control_value"))
    described = _described(metric, domain)
    return Measure(**{**described, "primary": described["primary"] and ranked}, **nothing, reason=reason)


def _described(metric: Metric, domain: str) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "domain": domain,
        "unit": metric.unit,
        "meaning": metric.summary,
        "higher_is_better": metric.higher_is_better,
        "primary": metric.primary and domain in metric.domains,
    }


def _none_eligible(bench: Bench, coalitions: Coalitions) -> str:
    eligible = bench.settings.eligible_sizes(bench.n_players)
    sizes = sorted(coalitions.sizes, reverse=True)
    listed = ", ".join(map(str, sizes[:_LISTED_SIZES])) + (", ..." if len(sizes) > _LISTED_SIZES else "")
    return f"no coalition of {eligible.start} to {eligible.stop - 1} players among {len(sizes)} (sizes: {listed or 'none'})"
