"""Quality against budget: the same method with several budgets (``coterie run --budgets 1e3,1e4``), as curves."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coterie.leaderboard.board.types import Board, MetricBoard, TaskBoard
from coterie.leaderboard.display.drawing import own_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Point:
    """One budget of a method: the evaluations that it really spent (mean over seeds), and what came of them."""

    budget: int
    evaluations: float
    value: float
    low: float | None
    high: float | None


def budget_curves(board: Board, metric: MetricBoard) -> dict[str, list[Point]]:
    """Selector -> its points by budget, for the methods that stand in the table with two budgets or more."""
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


def draw_budgets(board: Board, task: TaskBoard) -> str | None:
    """The curves of a task as SVG, a panel for each ranked metric; None where no method has two budgets.

    Across: evaluations spent, logarithmic, 0 at the left edge; up: the value with its 95 % interval.
    """
    curves = [(metric, budget_curves(board, metric)) for metric in task.ranked]
    curves = [(metric, found) for metric, found in curves if found]
    if not curves:
        return None
    with own_style():
        return _drawn(curves)


def _drawn(curves: list[tuple[MetricBoard, dict[str, list[Point]]]]) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.1 * rows), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[len(curves) :]:
        axis.set_axis_off()
    for axis, (metric, found) in zip(axes, curves, strict=False):
        _panel(axis, metric, found)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, [_plain(label) for label in labels], loc="outside lower center", ncols=columns, frameon=False
    )
    target = io.StringIO()
    figure.savefig(target, format="svg", metadata={"Date": None})  # no date: the same board gives the same file
    return target.getvalue()


def _panel(axis: Axes, metric: MetricBoard, found: dict[str, list[Point]]) -> None:
    for number, (selector, points) in enumerate(found.items()):
        x = [max(p.evaluations, 0.5) for p in points]
        errors: Any = [[_reach(p.value, p.low) for p in points], [_reach(p.high, p.value) for p in points]]
        axis.errorbar(x, [p.value for p in points], errors, marker="osD^v"[number % 5], label=selector, capsize=2)
    axis.axhline(0, color="0.6", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_title(_plain(metric.key), fontsize=10)
    axis.set_xlabel("evaluations spent")
    axis.set_ylabel(_plain(metric.unit), fontsize=9)
    axis.grid(alpha=0.25)


def _reach(upper: float | None, lower: float | None) -> float:
    """The length of one arm of an interval; none where there is no interval."""
    return max(0.0, upper - lower) if upper is not None and lower is not None else 0.0


def _plain(text: str) -> str:
    """Text that matplotlib shows as it is: a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def drawn_budgets(board: Board) -> Sequence[tuple[str, str]]:
    """(task name, SVG) for every task that has curves."""
    drawn = [(task.task_name, draw_budgets(board, task)) for task in board.tasks]
    return [(name, svg) for name, svg in drawn if svg is not None]
