"""The board as one static page: it makes no requests and runs only its own script."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from coterie.leaderboard.board.types import Board, MetricBoard, OverallRow, Row, TaskBoard
from coterie.leaderboard.display import format as fmt
from coterie.leaderboard.display import legend
from coterie.leaderboard.display.budget_plot import drawn_budgets
from coterie.leaderboard.display.plot import Axis, axis_for
from coterie.leaderboard.display.templating import environment, frame, typographic


@dataclass(frozen=True)
class Dot:
    """A row of the dot plot. Positions are in per cent from the left."""

    at: float
    """Position of the value."""

    low: float | None
    """Position of the interval's lower end."""

    high: float | None
    """Position of the interval's upper end."""

    text: str
    """Value and interval as text."""

    leading: bool
    """Whether the entry shares the first rank."""


@dataclass(frozen=True)
class MetricView:
    """A metric as the template needs it."""

    board: MetricBoard
    """Its numbers."""

    anchor: str
    """Id of its table."""

    heading: str
    """Heading of the values' column."""

    direction: str
    """Whether higher or lower is better, as text."""

    places: int
    """Decimals of the values."""

    axis: Axis
    """Axis of the dot plot."""

    @property
    def has_seen(self) -> bool:
        """Whether any entry has a value on the discovery queries."""
        return any(row.discovery_value is not None for row in self.board.rows)

    def dot(self, row: Row) -> Dot | None:
        """The row's dot on the axis."""
        return _dot(self.axis, row.value, row.low, row.high, self.places, row.rank == 1)


@dataclass(frozen=True)
class TaskView:
    """A task as the template needs it."""

    board: TaskBoard
    """Its numbers."""

    anchor: str
    """Id of its section."""

    metrics: list[MetricView]
    """Its metrics."""


def render_html(board: Board) -> str:
    """The whole page. Names, reasons and notes come from records and are escaped everywhere."""
    return (
        environment()
        .get_template("index.html.j2")
        .render(
            **frame(),
            board=board,
            date=day(board.date),
            tasks=[task_view(task) for task in board.tasks],
            overall=overall_view(board),
            budgets=[(name, base64.b64encode(svg.encode()).decode()) for name, svg in drawn_budgets(board)],
            columns=legend.columns_of(board),
        )
    )


def task_view(task: TaskBoard, *, separate: bool = False) -> TaskView:
    """A task with ids for deep links. `separate`: the task has a separate page, so that ids need not include its name.

    Parts of an id are joined by colons, which names of tasks and metrics cannot contain, so that different names have
    different ids. In a domain's name, characters other than ASCII letters and digits, `.`, `_` and `-` are replaced by their
    code points.
    """
    anchor = "tables" if separate else task.task_name.replace("/", ":")
    anchors: dict[str, MetricBoard] = {}
    for metric in task.metrics:
        domain = re.sub(r"[^A-Za-z0-9._-]", lambda found: f":{ord(found[0])}:", metric.domain)
        key = f"{metric.metric.replace('/', ':')}:{domain}"
        own = key if separate else f"{anchor}::{key}"
        anchors[own if own not in anchors else f"{own}::{len(anchors)}"] = metric  # the same key in another unit
    return TaskView(task, anchor, [metric_view(metric, own) for own, metric in anchors.items()])


def metric_view(metric: MetricBoard, anchor: str) -> MetricView:
    """A metric with the id of its table."""
    return MetricView(
        board=metric,
        anchor=anchor,
        heading=legend.value_heading(metric),
        direction=legend.direction(metric),
        places=fmt.decimals(metric),
        axis=axis_for(metric.rows),
    )


def overall_view(board: Board) -> dict[str, Any]:
    """The overall table's axis and its rows with their dots."""
    rows = board.overall.rows
    worst = max([1, *(rank for row in rows for rank in row.ranks if rank is not None)])
    stand_ins = [Row(entry=row.entry, value=row.mean_rank, low=row.low, high=row.high) for row in rows]
    axis = axis_for([*stand_ins, Row(entry="", value=float(worst))], base=1.0)
    best = min((row.mean_rank for row in rows if row.mean_rank is not None), default=None)
    return {
        "rows": [(row, board.entry(row.entry), _overall_dot(axis, row, best)) for row in rows],
        "axis": axis,
        "show_tasks": len(board.tasks) > 1,
        "has_intervals": any(row.low is not None for row in rows),
    }


def _overall_dot(axis: Axis, row: OverallRow, best: float | None) -> Dot | None:
    return _dot(axis, row.mean_rank, row.low, row.high, 1, row.mean_rank == best)


def _dot(
    axis: Axis, value: float | None, low: float | None, high: float | None, places: int, leading: bool
) -> Dot | None:
    if value is None:
        return None
    ends = (None, None) if low is None or high is None else (axis.position(low), axis.position(high))
    text = typographic(f"{fmt.number(value, places)} {fmt.interval(low, high, places)}".strip())
    return Dot(axis.position(value), ends[0], ends[1], text, leading)


def day(date: str) -> str:
    """An ISO date as `22 November 2026`."""
    moment = datetime.fromisoformat(date)
    return f"{moment.day} {moment:%B %Y}"
