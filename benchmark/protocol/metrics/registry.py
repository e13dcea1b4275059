"""The table of metrics: every :class:`Metric` in this folder, found by scanning."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from coterie.benchmark.protocol.metrics.base import Metric


@cache
def list_metrics() -> dict[str, type[Metric]]:
    """Metrics by name, in order of name. Two of one name are refused."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        import_module(f"coterie.benchmark.protocol.metrics.{module.name}")
    found: dict[str, type[Metric]] = {}
    for metric in _concrete(Metric):
        if metric.name in found:
            raise ValueError(
                f"metric {metric.name!r} stands twice: {found[metric.name].__module__} and {metric.__module__}"
            )
        found[metric.name] = metric
    return dict(sorted(found.items()))


def _concrete(base: type[Any]) -> Iterator[type[Metric]]:
    for metric in base.__subclasses__():
        if not inspect.isabstract(metric):
            yield metric
        yield from _concrete(metric)
