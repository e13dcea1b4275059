"""Quality against budget: one method with several budgets (`coterie run --budgets 1e3,1e4`), as curves."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from coterie.leaderboard.board.types import Board, MetricBoard


@dataclass(frozen=True)
class Point:
    """A method's result with one budget."""

    budget: int
    """Evaluations that the method was allowed."""

    evaluations: float
    """Evaluations that it spent, mean over seeds."""

    value: float
    """Its value under the metric."""

    low: float | None
    """Lower end of the value's interval."""

    high: float | None
    """Upper end of the value's interval."""


def budget_curves(board: Board, metric: MetricBoard) -> dict[str, list[Point]]:
    """Selector -> its points by budget, for methods with two or more budgets in the table."""
    found: dict[str, list[Point]] = defaultdict(list)
    for row in metric.rows:
        if row.value is not None and row.cost is not None:
            entry = board.entry(row.entry)
            point = Point(entry.budget, row.cost.evaluations, row.value, row.low, row.high)
            found[entry.selector].append(point)
    return {
        selector: sorted(points, key=lambda p: (p.budget, p.evaluations))
        for selector, points in sorted(found.items())
        if len({p.budget for p in points}) > 1
    }
