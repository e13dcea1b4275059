"""The table of metrics: every concrete `Metric` in this package, found by scanning."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

from coterie.benchmark.protocol import metrics
from coterie.benchmark.protocol.metrics.base import Metric


@cache
def list_metrics() -> dict[str, type[Metric]]:
    """Metrics by name, sorted. Raises `ValueError` if two share a name."""
    for module in pkgutil.iter_modules(metrics.__path__):
        import_module(f"{metrics.__name__}.{module.name}")
    found: dict[str, type[Metric]] = {}
    for metric in _concrete(Metric):
        if metric.name in found:
            raise ValueError(
                f"metric {metric.name!r} is defined twice: in {found[metric.name].__module__} and {metric.__module__}"
            )
        found[metric.name] = metric
    return dict(sorted(found.items()))


def _concrete(base: type[Any]) -> Iterator[type[Metric]]:
    for metric in base.__subclasses__():
        if not inspect.isabstract(metric):
            yield metric
        yield from _concrete(metric)
