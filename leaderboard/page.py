"""The board as one static page: no request leaves it, nothing in it can run but its own script."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from coterie.leaderboard import format as fmt
from coterie.leaderboard import legend
from coterie.leaderboard.board import Board, MetricBoard, OverallRow, Row, TaskBoard
from coterie.leaderboard.budgets import drawn_budgets
from coterie.leaderboard.plot import Axis, axis_for

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Dot:
    """A row of the dot plot: per cent from the left, and what it says in words."""

    at: float
    low: float | None
    high: float | None
    text: str
    leading: bool


@dataclass(frozen=True)
class MetricView:
    """What the template needs of a metric beside its numbers."""

    board: MetricBoard
    anchor: str
    heading: str
    direction: str
    places: int
    axis: Axis

    @property
    def has_seen(self) -> bool:
        """Whether there are values on the discovery queries to show."""
        return any(row.discovery_value is not None for row in self.board.rows)

    def dot(self, row: Row) -> Dot | None:
        """Where the row stands on the axis."""
        return _dot(self.axis, row.value, row.low, row.high, self.places, row.rank == 1)


@dataclass(frozen=True)
class TaskView:
    """A task with the views of its metrics."""

    board: TaskBoard
    anchor: str
    metrics: list[MetricView]


def render_html(board: Board) -> str:
    """The whole page. Names, reasons and notes come from records and are escaped wherever they stand."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "signed": lambda value, places: _typographic(fmt.signed(value, places)),
        "number": lambda value, places: _typographic(fmt.number(value, places)),
        "interval": lambda row, places: _typographic(fmt.interval(row.low, row.high, places)),
        "count": lambda value: _typographic(fmt.count(value)),
        "seconds": lambda value: _typographic(fmt.seconds(value)),
        "settings": fmt.settings,
        "sentence": fmt.sentence,
    }
    style, script = _asset("style.css"), _asset("sort.js")
    return environment.get_template("index.html.j2").render(
        board=board,
        date=_day(board.date),
        tasks=[_task_view(task) for task in board.tasks],
        overall=_overall(board),
        budgets=[(name, base64.b64encode(svg.encode()).decode()) for name, svg in drawn_budgets(board)],
        legend=legend,
        columns=legend.columns_of(board),
        # The two assets are files of this package, not input. Nothing else in the page is marked safe.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _task_view(task: TaskBoard) -> TaskView:
    """Ids for deep links hold colons, which names do not: different names have different ids."""
    anchor = task.task_name.replace("/", ":")
    anchors: dict[str, MetricBoard] = {}
    for metric in task.metrics:
        own = f"{anchor}::{metric.key.replace('/', ':')}"
        anchors[own if own not in anchors else f"{own}::{len(anchors)}"] = metric  # the same key in another unit
    return TaskView(task, anchor, [_metric_view(metric, own) for own, metric in anchors.items()])


def _metric_view(metric: MetricBoard, anchor: str) -> MetricView:
    return MetricView(
        board=metric,
        anchor=anchor,
        heading=legend.value_heading(metric),
        direction=legend.direction(metric),
        places=fmt.decimals(metric),
        axis=axis_for(metric.rows),
    )


def _overall(board: Board) -> dict[str, Any]:
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
    text = _typographic(f"{fmt.number(value, places)} {fmt.interval(low, high, places)}".strip())
    return Dot(axis.position(value), ends[0], ends[1], text, leading)


def _typographic(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}") if number != fmt.MISSING else "\N{EN DASH}"


def _day(date: str) -> str:
    moment = datetime.fromisoformat(date)
    return f"{moment.day} {moment:%B %Y}"


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf8")


def _hash(text: str) -> str:
    """The content's hash as a content security policy names it: only this style and this script may take effect."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
