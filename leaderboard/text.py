"""The board in the terminal and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from coterie.leaderboard import format as fmt
from coterie.leaderboard import legend
from coterie.leaderboard.board import Board, MetricBoard, OverallRow, Row, TaskBoard

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_board(board: Board, console: Console | None = None) -> None:
    """Print the board: the overall table, then one table a task, then what the columns mean."""
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    # Every string goes in as Text: a selector like kmeans[k=8] would otherwise be taken for markup and vanish.
    say = lambda text="", style="": console.print(Text(text, style=style), soft_wrap=False)  # noqa: E731
    for task in board.tasks:
        for warning in task.warnings:
            say(f"{task.task_name}: {warning}", "yellow")
    say()
    say(_overall_title(board), "bold")
    console.print(_overall_table(board))
    for task in board.tasks:
        say(task.task_name, "bold")
        for note in task.notes:
            say(note, "yellow")
        if task.metrics:
            console.print(_task_table(task))
    for name, text in [*_metric_legend(board), *legend.columns_of(board)]:
        console.print(Text.assemble((f"{name}: ", "bold dim"), (text, "dim")))


def _overall_title(board: Board) -> str:
    n = len(board.overall.columns)
    title = f"Overall: mean rank over {n} ranked table{'s' if n != 1 else ''}"
    return title + (f". {board.overall.note}" if board.overall.note else "")


def _overall_table(board: Board) -> Table:
    table = _table(("Method", "left"), ("Mean rank", "right"), *_COST_COLUMNS, ("Sees", "left"))
    for row in board.overall.rows:
        name = row.entry if row.reason is None else f"{row.entry}: {row.reason}"
        _add(table, name, _mean_rank(row), *_cost(row), ", ".join(board.entry(row.entry).sees) or "nothing")
    return table


def _task_table(task: TaskBoard) -> Table:
    """One table, a section a metric, so that the columns of all metrics stand under each other."""
    headings = {legend.value_heading(metric) for metric in task.metrics}
    value = " / ".join(sorted(headings)) + f" [{legend.PERCENT}]"
    table = _table(("Rank", "right"), ("Method", "left"), (value, "right"), *_COST_COLUMNS)
    for metric in task.metrics:
        _add(table, "", f"{metric.key} ({metric.unit})", "", "", "", style="bold")
        if metric.note:
            _add(table, "", metric.note, "", "", "", style="yellow")
        places = fmt.decimals(metric)
        for row in metric.rows:
            _add(table, _rank(row), _name(row), _value(row, places), *_cost(row))
        table.add_section()
    return table


_COST_COLUMNS = (("Evaluations", "right"), ("Seconds", "right"))


def _table(*columns: tuple[str, str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=side == "right")
    return table


def _add(table: Table, *cells: str, style: str = "") -> None:
    from rich.text import Text

    table.add_row(*(Text(cell, style=style) for cell in cells))


def render_markdown(board: Board) -> str:
    """The board as GitHub Markdown. Names and reasons come from records: whatever could be markup is escaped."""
    lines = ["# coterie leaderboard", "", legend.HEADLINE + " " + legend.LEDE, ""]
    protocols = ", ".join(dict.fromkeys(task.protocol for task in board.tasks))
    lines += [f"Protocol {_md(protocols)}; newest result {_md(board.date)}; {board.n_records} records.", ""]
    for task in board.tasks:
        lines += [f"> **{_md(task.task_name)}**: {_md(warning)}\n" for warning in task.warnings]
    lines += ["## Overall", "", _md(_overall_title(board)), ""]
    overall = [
        (f"`{_code(r.entry)}`", _mean_rank(r), *_cost(r), _md(", ".join(board.entry(r.entry).sees)), _md(r.reason or ""))
        for r in board.overall.rows
    ]
    lines += _md_table(("Method", "Mean rank", "Evaluations", "Seconds", "Sees", "Note"), "lrrrll", overall)
    for task in board.tasks:
        lines += ["", f"## {_md(task.task_name)}", ""]
        lines += [f"{_md(note)}\n" for note in task.notes]
        for metric in task.metrics:
            lines += _md_metric(metric)
    lines += ["", "## How to read this", ""]
    lines += [f"- **{name}**: {_md(text)}" for name, text in legend.columns_of(board)]
    return "\n".join(lines) + "\n"


def _md_metric(metric: MetricBoard) -> list[str]:
    places = fmt.decimals(metric)
    about = f"{metric.meaning + '. ' if metric.meaning else ''}Unit: {metric.unit}; {legend.direction(metric)}; "
    about += f"{metric.n_queries} queries. {metric.note or ''}"
    rows = [
        (
            _rank(row),
            f"`{_code(row.entry)}`",
            _value(row, places),
            fmt.signed(row.method_value, places),
            fmt.signed(row.control_value, places),
            *_cost(row),
            str(row.n_seeds),
            _md(legend.why_not(row) if row.rank is None else ""),
        )
        for row in metric.rows
    ]
    value = f"{legend.value_heading(metric)} [{legend.PERCENT}]"
    headings = ("Rank", "Method", value, "Method's", "Random's", "Evaluations", "Seconds", "Seeds", "Note")
    return ["", f"### {_md(metric.key)}", "", _md(about.strip()), "", *_md_table(headings, "rlrrrrrrl", rows)]


def _md_table(headings: Iterable[str], sides: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    rules = [{"l": "---", "r": "---:"}[side] for side in sides]
    return ["| " + " | ".join(cells) + " |" for cells in [headings, rules, *rows]]


def _metric_legend(board: Board) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for metric in (metric for task in board.tasks for metric in task.metrics):
        found.setdefault(metric.metric, f"{metric.meaning or metric.unit}; {legend.direction(metric)}.")
    return list(found.items())


def _rank(row: Row) -> str:
    return fmt.MISSING if row.rank is None else str(row.rank)


def _name(row: Row) -> str:
    return row.entry if row.rank is not None else f"{row.entry}: {legend.why_not(row)}"


def _value(row: Row, places: int) -> str:
    return f"{fmt.signed(row.value, places)} {fmt.interval(row.low, row.high, places)}".strip()


def _mean_rank(row: OverallRow) -> str:
    if row.mean_rank is None:
        return fmt.MISSING
    return f"{row.mean_rank:.1f} {fmt.interval(row.low, row.high, 1, sign=False)}".strip()


def _cost(row: Row | OverallRow) -> tuple[str, str]:
    cost = row.cost
    return (fmt.count(cost.evaluations), fmt.seconds(cost.discovery_seconds)) if cost else (fmt.MISSING, fmt.MISSING)


def _md(text: str) -> str:
    """Text that Markdown takes literally: one line, no markup, no HTML."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~!])", r"\\\1", flat)


def _code(text: str) -> str:
    """Text for a code span in a table, which knows no escapes: what could end either is replaced."""
    return " ".join(text.split()).replace("`", "'").replace("|", "¦")
