"""``coterie history``, ``compare``, ``runs`` and ``sync``: tables for the terminal of what ``over_time.py`` finds."""

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

from coterie.benchmark import results as data
from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.leaderboard.display import format as fmt
from coterie.leaderboard.display import legend
from coterie.tracking.text import printable

if TYPE_CHECKING:
    import pandas as pd

FAILED = 1
_STYLES = {"better": "green", "worse": "red"}


def history_command(
    task: str,
    method: str,
    metrics: tuple[str, ...],
    folders: tuple[Path, ...],
    tracking_uri: str | None,
    plot: Path | None,
    csv: Path | None,
) -> int:
    """Print the table, draw the plot."""
    from coterie.leaderboard.display.history_plot import write_history_plot

    console = Console()
    with exit_on_user_error():
        frame = data.history(task, method, metrics, folders, tracking_uri, lambda text: print(text, file=sys.stderr))
        path = plot or folders[0] / "history" / f"{_file_name(task)}-{_file_name(method)}.png"
        shown = _written(path, lambda: write_history_plot(frame, path))
        if csv is not None:
            _written(csv, lambda: frame.to_csv(csv, index=False))
    columns = ["task", "method", "budget", "metric", "unit"]
    names = ("Date", "Code", f"Value [{legend.PERCENT}]", f"Change [{legend.PERCENT}]", "p", "")
    for (of, selector, budget, metric, unit), part in frame.groupby(columns, sort=False):
        console.print(
            Text(printable(f"\n{metric} ({unit})   {selector} on {of}, budget {budget:,}", keep="\n"), "bold")
        )
        rows = _rows(part)
        places = _places((row["low"], row["high"]) for row in rows)
        console.print(_table(names, "llrrrl", (_history_cells(row, places) for row in rows)))
        for row in rows:
            if remark := _remark(row):
                console.print(
                    Text(printable(f"  {row['date']:%Y-%m-%d} {row['code_hash'][:7]}: {remark}", keep="\n"), "dim")
                )
    console.print(_legend("change", "the version before"))
    if shown:
        console.print(f"Plot: {path}", highlight=False, soft_wrap=True)
    return 0


def compare_command(run_a: str, run_b: str, output_folder: Path, tracking_uri: str | None, csv: Path | None) -> int:
    """Print the table."""
    console = Console()
    with exit_on_user_error():
        frame = data.compare(run_a, run_b, output_folder, tracking_uri, lambda text: print(text, file=sys.stderr))
        if frame.empty:
            raise UsageError(
                "expected ranked metrics in both runs, got none; fix: compare runs that have finished cells"
            )
        if csv is not None:
            _written(csv, lambda: frame.to_csv(csv, index=False))
    console.print(Text(printable(f"A: {run_a}\nB: {run_b}", keep="\n")))
    names = ("Method", "A", "B", f"B - A [{legend.PERCENT}]", "p", "")
    for (task, metric, unit), part in frame.groupby(["task", "metric", "unit"], sort=False):
        console.print(Text(printable(f"\n{metric} ({unit})   {task}", keep="\n"), "bold"))
        rows = _rows(part)
        places = _places((row["low"], row["high"]) for row in rows)
        console.print(_table(names, "lrrrrl", (_compare_cells(row, places) for row in rows)))
    console.print(_legend("B - A", "A"))
    return 0


def runs_command(output_folder: Path, tracking_uri: str | None) -> int:
    """Print the runs."""
    with exit_on_user_error():
        frame = data.runs(output_folder, tracking_uri)
        if frame.empty:
            where = (tracking_uri and "that MLflow store") or str(output_folder)
            raise UsageError(f"{where}: no runs there; fix: coterie run, or name another place")
    rows = _rows(frame)
    if tracking_uri is not None:  # MLflow's own ids say nothing of the time, and its list nothing of the cells
        table = _table(("Run", "Suite", "Started (UTC)", "Minutes", "Status"), "lllrl", map(_tracked_cells, rows))
    else:
        names = ("Run", "Suite", "Minutes", "Status", "Cells", "Reused", "Failed", "Skipped")
        table = _table(names, "llrlrrrr", map(_run_cells, rows))
    Console().print(table)
    return 0


def sync_command(output_folder: Path, tracking_uri: str | None, quiet: bool) -> int:
    """Log what is missing; exit code 1 where something was refused."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console()
    columns = (TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with exit_on_user_error(), Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        row = bar.add_task("cells", total=None)
        result = data.sync(
            output_folder, tracking_uri, lambda done, total: bar.update(row, completed=done, total=total)
        )
    console.print(f"{result.logged} cells logged, {result.known} were there before.", highlight=False)
    for run in result.in_progress:
        console.print(f"left alone: run {run} still works and logs its own cells", highlight=False)
    for problem in [*result.refused, *map(str, result.unreadable)]:
        print(f"not logged: {problem}", file=sys.stderr)
    return FAILED if result.refused or result.unreadable else 0


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
    """What the columns do not show: why there is no number, and what changed beside the code."""
    changed = f"{row['changed']} changed" if row["changed"] not in ("", "code") else ""
    return _words(row["note"], changed)


def _compare_cells(row: dict[str, Any], places: int) -> tuple[str, ...]:
    method = row["method"] if row["method"] == row["method_b"] else f"{row['method']} -> {row['method_b']}"
    return (
        method,
        fmt.signed(row["a"], places),
        fmt.signed(row["b"], places),
        _value(row["difference"], row["low"], row["high"], places),
        _p(row["p_holm"]),
        _words(row["verdict"] if row["verdict"] in _STYLES else "", row["note"]),
    )


def _run_cells(row: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(row[name]) for name in ("cells", "reused", "failed", "skipped"))
    return (row["run"], row["name"], _minutes(row), row["status"], *counts)


def _tracked_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["run"], row["name"], f"{row['started']:%Y-%m-%d %H:%M}", _minutes(row), row["status"])


def _minutes(row: dict[str, Any]) -> str:
    return "-" if row["minutes"] is None else f"{row['minutes']:.1f}"


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Plain rows: what is missing is None, not NaN."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [dict(zip(frame.columns, row, strict=True)) for row in plain.itertuples(index=False)]


def _places(intervals: Iterable[tuple[float | None, float | None]]) -> int:
    """Decimals that show the first significant digit of the typical half-width of an interval, so that a row fits a terminal."""
    halves = [(high - low) / 2 for low, high in intervals if low is not None and high is not None and high > low]
    return min(6, max(2, -floor(log10(median(halves))))) if halves else 3


def _value(value: float | None, low: float | None, high: float | None, places: int) -> str:
    return f"{fmt.signed(value, places)} {fmt.interval(low, high, places)}".strip()


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "<.001"


def _words(*texts: str | None) -> str:
    return "; ".join(text for text in texts if text)


def _legend(what: str, against: str) -> Text:
    return Text(
        f"\n{what}: paired over the same queries, mean over seeds; better or worse than {against} where the bootstrap's "
        "p-value, corrected by Holm's method over all rows (column p), is below 0.05. Exact numbers: --csv FILE.",
        "dim",
    )


def _table(names: tuple[str, ...], sides: str, rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name, side in zip(names, sides, strict=True):
        table.add_column(
            Text(name),
            justify="right" if side == "r" else "left",
            no_wrap=bool(name),
            overflow="fold",
            min_width=0 if name else max(map(len, _STYLES)),
        )
    for cells in rows:
        style = _STYLES.get(cells[-1].partition(";")[0], "")
        table.add_row(
            *(
                Text(printable(str(cell), keep="\n"), style if i == len(cells) - 1 else "")
                for i, cell in enumerate(cells)
            )
        )
    return table


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in text)[:80].lstrip(".") or "cell"


def _written(path: Path, write: Any) -> Any:
    """Write a file that the user named, told in one line where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return write()
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}; fix: name another file") from error
