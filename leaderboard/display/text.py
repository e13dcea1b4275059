"""The board in the terminal and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from coterie.leaderboard.board.types import Board, MetricBoard, OverallRow, Row, TaskBoard
from coterie.leaderboard.display import format as fmt
from coterie.leaderboard.display import legend
from coterie.tracking.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_board(board: Board, console: Console | None = None) -> None:
    """Print the overall table, the tables of each task, then what metrics and columns mean."""
    from rich.console import Console

    console = console or Console()
    for task in board.tasks:
        for warning in task.warnings:
            _say(console, f"{task.task_name}: {warning}", "yellow")
    _say(console, "\n" + _overall_title(board), "bold")
    console.print(_overall_table(board))
    for task in board.tasks:
        _print_task(console, task)
    _say(console)
    for name, text in [*_metric_legend(board), *legend.columns_of(board)]:
        _say(console, f"{name}: {text}", "dim")


def _print_task(console: Console, task: TaskBoard) -> None:
    """Print one header, then the name and table of each metric, all with the same column widths."""
    _say(console, f"\n{task.task_name}", "bold")
    for note in task.notes:
        _say(console, note, "yellow")
    if not task.ranked:
        return
    headings = sorted({legend.value_heading(metric) for metric in task.ranked})
    header = ("Rank", "Method", f"{' / '.join(headings)} [{legend.PERCENT}]", *_COST)
    tables = [[_cells(row, fmt.decimals(metric)) for row in metric.rows] for metric in task.ranked]
    widths = _widths([header, *(cells for table in tables for cells in table)], console.width)
    console.print(_table(header, "rlrrr", widths))
    indent = " " * (widths[0] + _GAP)
    for metric, table in zip(task.ranked, tables, strict=True):
        _say(console, f"{indent}{metric.key} ({metric.unit})", "bold")
        if metric.note:
            _say(console, f"{indent}{metric.note}", "yellow")
        console.print(_table(header, "rlrrr", widths, table, show_header=False))
    if agreed := [f"{a.entry} {fmt.number(a.ami, 2)}" for a in task.agreement if a.ami is not None]:
        _say(console, f"{indent}Agreement of seeds (AMI): {', '.join(agreed)}")
    if task.unranked:
        names = ", ".join(metric.key for metric in task.unranked)
        _say(console, f"{indent}Also measured, but not ranked (see the files below): {names}")


def _cells(row: Row, places: int) -> tuple[str, ...]:
    name = row.entry if row.rank is not None else f"{row.entry}: {row.reason}"
    return (_rank(row), f"{name} ({legend.BELOW_NOISE})" if row.below_noise else name, _value(row, places), *_cost(row))


def _widths(rows: Sequence[tuple[str, ...]], available: int) -> list[int]:
    """The width of each column; names (column 1) get the room that the numbers leave."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    others = sum(widths) - widths[1] + _GAP * (len(widths) - 1)
    widths[1] = max(12, min(widths[1], available - others))
    return widths


def _overall_title(board: Board) -> str:
    n = len(board.overall.columns)
    title = f"Overall: mean rank over {n} ranked table{'s' if n != 1 else ''}"
    return title + (f". {board.overall.note}" if board.overall.note else "")


def _overall_table(board: Board) -> Table:
    rows = []
    for row in board.overall.rows:
        name = row.entry if row.reason is None else f"{row.entry}: {row.reason}"
        rows.append((name, _mean_rank(row), *_cost(row), ", ".join(board.entry(row.entry).sees) or "nothing"))
    return _table(("Method", "Mean rank", *_COST, "Sees"), "lrrrl", None, rows)


_COST = ("Evaluations", "Seconds")
_GAP = 2  # spaces between columns: one from the box, the rest from the padding


def _table(
    header: tuple[str, ...],
    sides: str,
    widths: Sequence[int] | None,
    rows: Iterable[tuple[str, ...]] = (),
    *,
    show_header: bool = True,
) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD, show_header=show_header, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0)
    )
    for position, (name, side) in enumerate(zip(header, sides, strict=True)):
        justify: Literal["left", "right"] = "right" if side == "r" else "left"
        width = widths[position] if widths else None
        table.add_column(Text(name, "dim"), justify=justify, width=width, no_wrap=side == "r", overflow="fold")
    for cells in rows:
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _say(console: Console, text: str = "", style: str = "") -> None:
    """Print literally: rich would take a selector like kmeans[k=8] for markup and drop it."""
    from rich.text import Text

    console.print(Text(printable(text, keep="\n"), style))


def render_markdown(board: Board) -> str:
    """The board as GitHub Markdown. Names and reasons come from records and are escaped."""
    lines = ["# coterie leaderboard", "", legend.HEADLINE + " " + legend.LEDE, ""]
    protocols = ", ".join(dict.fromkeys(task.protocol for task in board.tasks))
    lines += [f"Protocol {_md(protocols)}; newest result {_md(board.date)}; {board.n_records} records.", ""]
    for task in board.tasks:
        lines += [f"> **{_md(task.task_name)}**: {_md(warning)}\n" for warning in task.warnings]
    lines += ["## Overall", "", *_md_overall(board)]
    for task in board.tasks:
        lines += ["", f"## {_md(task.task_name)}"]
        lines += [f"\n{_md(note)}" for note in task.notes]
        for metric in task.metrics:
            lines += _md_metric(metric)
        lines += _md_agreement(task)
    lines += ["", "## How to read this", ""]
    lines += [f"- **{name}**: {_md(text)}" for name, text in legend.columns_of(board)]
    return "\n".join(lines) + "\n"


def render_overall(board: Board) -> str:
    """Only the overall table, for a section of another document."""
    return "\n".join(_md_overall(board)) + "\n"


def _md_overall(board: Board) -> list[str]:
    overall = [
        (
            f"`{_code(r.entry)}`",
            _mean_rank(r),
            *_cost(r),
            _md(", ".join(board.entry(r.entry).sees) or "nothing"),
            _md(r.reason or ""),
        )
        for r in board.overall.rows
    ]
    headings = ("Method", "Mean rank", "Evaluations", "Seconds", "Sees", "Note")
    return [_md(_overall_title(board)), "", *_md_table(headings, "lrrrll", overall)]


def _md_metric(metric: MetricBoard) -> list[str]:
    places = fmt.decimals(metric)
    about = f"{fmt.sentence(metric.meaning) + '. ' if metric.meaning else ''}Unit: {metric.unit}; {legend.direction(metric)}"
    about += f"; {metric.n_queries} queries. " if metric.n_queries else ". "
    about += metric.note or ("" if metric.primary else "Not ranked.")
    rows = [
        (
            _rank(row),
            f"`{_code(row.entry)}`",
            _value(row, places),
            fmt.signed(row.method_value, places),
            fmt.signed(row.control_value, places),
            fmt.signed(row.discovery_value, places),
            *_cost(row),
            str(row.n_seeds),
            _md(legend.note_of(row, metric)),
        )
        for row in metric.rows
    ]
    value = f"{legend.value_heading(metric)} [{legend.PERCENT}]"
    headings = ("Rank", "Method", value, "Method's", "Random's", "On seen", "Evaluations", "Seconds", "Seeds", "Note")
    return ["", f"### {_md(metric.key)}", "", _md(about.strip()), "", *_md_table(headings, "rlrrrrrrrl", rows)]


def _md_agreement(task: TaskBoard) -> list[str]:
    if not task.agreement:
        return []
    rows = [
        (
            f"`{_code(a.entry)}`",
            fmt.MISSING if a.ami is None else fmt.number(a.ami, 2),
            fmt.interval(a.lowest, a.highest, 2),
            str(a.n_seeds),
            _md(a.reason or ""),
        )
        for a in task.agreement
    ]
    table = _md_table(("Method", "AMI", "Lowest, highest", "Seeds", "Note"), "lrrrl", rows)
    return ["", "### Agreement of seeds", "", _md(legend.AGREEMENT), "", *table]


def _md_table(headings: Iterable[str], sides: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    rules = [{"l": "---", "r": "---:"}[side] for side in sides]
    return ["| " + " | ".join(cells) + " |" for cells in [headings, rules, *rows]]


def _metric_legend(board: Board) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for metric in (metric for task in board.tasks for metric in task.metrics):
        found.setdefault(metric.metric, f"{fmt.prose(metric.meaning or metric.unit)}; {legend.direction(metric)}.")
    return list(found.items())


def _rank(row: Row) -> str:
    return fmt.MISSING if row.rank is None else str(row.rank)


def _value(row: Row, places: int) -> str:
    return f"{fmt.signed(row.value, places)} {fmt.interval(row.low, row.high, places)}".strip()


def _mean_rank(row: OverallRow) -> str:
    if row.mean_rank is None:
        return fmt.MISSING
    return f"{row.mean_rank:.1f} {fmt.interval(row.low, row.high, 1)}".strip()


def _cost(row: Row | OverallRow) -> tuple[str, str]:
    cost = row.cost
    return (fmt.count(cost.evaluations), fmt.seconds(cost.discovery_seconds)) if cost else (fmt.MISSING, fmt.MISSING)


def _md(text: str) -> str:
    """A text in one line that Markdown shows literally."""
    flat = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~!])", r"\\\1", flat)


def _code(text: str) -> str:
    """A text for a code span in a table, with substitutes for the characters that would end either: spans have no escapes."""
    return printable(" ".join(text.split())).replace("`", "'").replace("|", "¦")
