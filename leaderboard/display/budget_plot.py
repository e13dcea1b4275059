"""Quality against budget as SVG: one panel per ranked metric of a task."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from coterie.leaderboard.board.budgets import Point, budget_curves
from coterie.leaderboard.board.types import Board, MetricBoard, TaskBoard
from coterie.leaderboard.display.drawing import own_style, without_math
from coterie.leaderboard.display.plot import LEAST_EVALUATIONS, arms

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def drawn_budgets(board: Board) -> list[tuple[str, str]]:
    """(task name, SVG) of every task with curves."""
    drawn = [(task.task_name, draw_budgets(board, task)) for task in board.tasks]
    return [(name, svg) for name, svg in drawn if svg is not None]


def draw_budgets(board: Board, task: TaskBoard) -> str | None:
    """The curves of a task as SVG, one panel per ranked metric; None if no method has two budgets.

    The horizontal axis shows the evaluations spent (logarithmic), the vertical one the value with its 95 % interval.
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
    names = [without_math(label) for label in labels]
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)
    target = io.StringIO()
    figure.savefig(target, format="svg", metadata={"Date": None})  # without a date, the same board gives the same file
    return target.getvalue()


def _panel(axis: Axes, metric: MetricBoard, found: dict[str, list[Point]]) -> None:
    for number, (selector, points) in enumerate(found.items()):
        x = [max(p.evaluations, LEAST_EVALUATIONS) for p in points]
        errors: Any = arms((p.value, p.low, p.high) for p in points)
        axis.errorbar(x, [p.value for p in points], errors, marker="osD^v"[number % 5], label=selector, capsize=2)
    axis.axhline(0, color="0.6", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_title(without_math(metric.key), fontsize=10)
    axis.set_xlabel("evaluations spent")
    axis.set_ylabel(without_math(metric.unit), fontsize=9)
    axis.grid(alpha=0.25)
