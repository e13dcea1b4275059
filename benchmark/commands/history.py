"""`coterie history`, `compare`, `runs` and `sync`: the frames of `benchmark/results.py` as tables for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from math import floor, log10
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coterie.benchmark import results
from coterie.benchmark.errors import ExitCode, UsageError, exit_on_user_error, writing
from coterie.leaderboard.display import format as fmt
from coterie.leaderboard.display import legend
from coterie.tracking.text import printable, slug

if TYPE_CHECKING:
    import pandas as pd

_STYLES = {"better": "green", "worse": "red"}


def history_command(
    task: str,
    method: str,
    metrics: tuple[str, ...],
    folders: tuple[Path, ...],
    tracking_uri: str | None,
    plot: Path | None,
    csv: Path | None,
) -> ExitCode:
    """Print a table per metric, draw the plot, and write the CSV file if it is requested."""
    from coterie.leaderboard.display.history_plot import write_history_plot

    console = Console()
    with exit_on_user_error():
        frame = results.history(task, method, metrics, folders, tracking_uri, _warn)
        path = plot or folders[0] / "history" / f"{slug(task)}-{slug(method)}.png"
        with writing(path, "another --plot"):
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn = write_history_plot(frame, path)
        _write_csv(frame, csv)
    _print_history(frame, console)
    if drawn:
        console.print(f"Plot: {path}", highlight=False, soft_wrap=True)
    return ExitCode.OK


def _print_history(frame: pd.DataFrame, console: Console) -> None:
    columns = ["task", "method", "budget", "metric", "unit"]
    headings = ("Date", "Code", f"Value [{legend.PERCENT}]", f"Change [{legend.PERCENT}]", "p", "")
    for (task, method, budget, metric, unit), part in frame.groupby(columns, sort=False):
        console.print(_text(f"\n{metric} ({unit})   {method} on {task}, budget {budget:,}", "bold"))
        rows = _rows(part)
        places = _places((row["low"], row["high"]) for row in rows)
        console.print(_table(headings, "llrrrl", (_history_cells(row, places) for row in rows)))
        for row in rows:
            if remark := _remark(row):
                console.print(_text(f"  {row['date']:%Y-%m-%d} {row['code_hash'][:7]}: {remark}", "dim"))
    console.print(_legend("change", "the version before"))


def compare_command(
    run_a: str, run_b: str, output_folder: Path, tracking_uri: str | None, csv: Path | None
) -> ExitCode:
    """Print a table per metric and task, and write the CSV file if it is requested."""
    console = Console()
    with exit_on_user_error():
        frame = results.compare(run_a, run_b, output_folder, tracking_uri, _warn)
        if frame.empty:
            raise UsageError(
                "expected ranked metrics in both runs, got none; fix: compare runs that have finished cells"
            )
        _write_csv(frame, csv)
    console.print(_text(f"A: {run_a}\nB: {run_b}"))
    headings = ("Method", "A", "B", f"B - A [{legend.PERCENT}]", "p", "")
    for (task, metric, unit), part in frame.groupby(["task", "metric", "unit"], sort=False):
        console.print(_text(f"\n{metric} ({unit})   {task}", "bold"))
        rows = _rows(part)
        places = _places((row["low"], row["high"]) for row in rows)
        console.print(_table(headings, "lrrrrl", (_compare_cells(row, places) for row in rows)))
    console.print(_legend("B - A", "A"))
    return ExitCode.OK


def runs_command(output_folder: Path, tracking_uri: str | None) -> ExitCode:
    """Print a table with a row per run."""
    with exit_on_user_error():
        frame = results.runs(output_folder, tracking_uri)
        if frame.empty:
            where, fix = (
                (output_folder, "another --output-folder")
                if tracking_uri is None
                else ("the MLflow store", "another --tracking-uri")
            )
            raise UsageError(f"{where}: expected runs, got none; fix: coterie run, or {fix}")
    rows = _rows(frame)
    if tracking_uri is not None:  # its run ids do not contain the date, and its list does not count cells
        table = _table(("Run", "Suite", "Started (UTC)", "Minutes", "Status"), "lllrl", map(_tracked_cells, rows))
    else:
        headings = ("Run", "Suite", "Minutes", "Status", "Cells", "Reused", "Failed", "Skipped")
        table = _table(headings, "llrlrrrr", map(_run_cells, rows))
    Console().print(table)
    return ExitCode.OK


def sync_command(output_folder: Path, tracking_uri: str | None, quiet: bool) -> ExitCode:
    """Log what MLflow lacks, and print what was logged and what was not."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console()
    columns = (TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with exit_on_user_error(), Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        row = bar.add_task("cells", total=None)
        result = results.sync(
            output_folder, tracking_uri, lambda done, total: bar.update(row, completed=done, total=total)
        )
    console.print(f"{result.logged} cells logged, {result.known} already in MLflow.", highlight=False)
    for run in result.in_progress:
        console.print(f"skipped: run {run} is in progress and logs its own cells", highlight=False)
    for problem in [*result.refused, *map(str, result.unreadable)]:
        _warn(f"not logged: {problem}")
    return ExitCode.FAILED if result.refused or result.unreadable else ExitCode.OK


def _history_cells(row: dict[str, Any], places: int) -> tuple[str, ...]:
    return (
        f"{row['date']:%Y-%m-%d}",
        row["code_hash"][:7],
        _value(row["value"], row["low"], row["high"], places),
        _value(row["change"], row["change_low"], row["change_high"], places),
        _p(row["p_holm"]),
        row["verdict"] if row["verdict"] in _STYLES else "",
    )


def _remark(row: dict[str, Any]) -> str:
    """What the columns do not show: why a number is missing, and what changed besides the code."""
    changed = f"{row['changed']} changed" if row["changed"] not in ("", "code") else ""
    return _joined(row["note"], changed)


def _compare_cells(row: dict[str, Any], places: int) -> tuple[str, ...]:
    method = row["method"] if row["method"] == row["method_b"] else f"{row['method']} -> {row['method_b']}"
    return (
        method,
        fmt.signed(row["a"], places),
        fmt.signed(row["b"], places),
        _value(row["difference"], row["low"], row["high"], places),
        _p(row["p_holm"]),
        _joined(row["verdict"] if row["verdict"] in _STYLES else "", row["note"]),
    )


def _run_cells(row: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(row[name]) for name in ("cells", "reused", "failed", "skipped"))
    return (row["run"], row["name"], _minutes(row), row["status"], *counts)


def _tracked_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["run"], row["name"], f"{row['started']:%Y-%m-%d %H:%M}", _minutes(row), row["status"])


def _minutes(row: dict[str, Any]) -> str:
    return "-" if row["minutes"] is None else f"{row['minutes']:.1f}"


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts, with None for missing values."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [dict(zip(frame.columns, row, strict=True)) for row in plain.itertuples(index=False)]


def _places(intervals: Iterable[tuple[float | None, float | None]]) -> int:
    """Decimals for a column: enough for one significant digit of the median half-width of its intervals, 2 to 6."""
    halves = [(high - low) / 2 for low, high in intervals if low is not None and high is not None and high > low]
    return min(6, max(2, -floor(log10(median(halves))))) if halves else 3


def _value(value: float | None, low: float | None, high: float | None, places: int) -> str:
    return f"{fmt.signed(value, places)} {fmt.interval(low, high, places)}".strip()


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "<.001"


def _joined(*texts: str | None) -> str:
    return "; ".join(text for text in texts if text)


def _legend(what: str, reference: str) -> Text:
    return Text(
        f"\n{what}: paired over the same queries, mean over seeds. better, worse: than {reference}, if p is below 0.05. p: from "
        "the bootstrap, corrected over all rows by Holm's method. Exact numbers: --csv FILE.",
        "dim",
    )


def _table(headings: tuple[str, ...], sides: str, rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for heading, side in zip(headings, sides, strict=True):
        table.add_column(
            Text(heading),
            justify="right" if side == "r" else "left",
            no_wrap=bool(heading),
            overflow="fold",
            min_width=0 if heading else max(map(len, _STYLES)),
        )
    for cells in rows:
        style = _STYLES.get(cells[-1].partition(";")[0], "")
        table.add_row(*map(_text, cells[:-1]), _text(cells[-1], style))
    return table


def _text(text: str, style: str = "") -> Text:
    """Text for the terminal, without control characters: names come from records and MLflow stores."""
    return Text(printable(text, keep="\n"), style)


def _warn(text: str) -> None:
    print(text, file=sys.stderr)


def _write_csv(frame: pd.DataFrame, path: Path | None) -> None:
    if path is not None:
        with writing(path, "another --csv"):
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.to_csv(path, index=False)
