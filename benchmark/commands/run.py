"""`coterie run`: from options to records, MLflow and the leaderboard."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from coterie.benchmark.commands.planning import build_grid, load_included, warn_unranked
from coterie.benchmark.errors import ExitCode, UsageError, exit_on_user_error
from coterie.benchmark.quantities import format_count
from coterie.tracking.record import BROKEN, Record

if TYPE_CHECKING:
    from coterie.benchmark.commands.progress import RunProgress
    from coterie.benchmark.commands.run_options import RunOptions
    from coterie.benchmark.runner.grid import Grid
    from coterie.benchmark.runner.messages import NotRun
    from coterie.leaderboard.board.types import Board
    from coterie.tracking.mlflow_log import Tracker
    from coterie.tracking.run_log import RunLog
    from coterie.tracking.store import RecordStore


@dataclass(frozen=True)
class RunResult:
    """The outcome of a run: the record of every cell, and what went wrong."""

    records: list[Record]
    """The records of the grid's cells, in the grid's order."""
    not_run: list[NotRun]
    """The cells without a record, with the reasons."""
    reused: int
    """Number of cells that were finished before."""
    untracked: str | None
    """What is missing in MLflow and how to log it; None if nothing is."""
    broken_includes: tuple[str, ...]
    """Why files of `--include` did not load, one line each."""
    seconds: dict[str, float]
    """Seconds by phase."""
    tracker: Tracker
    """The MLflow store."""
    store: RecordStore
    """The records of the output folder."""


def run_command(options: RunOptions) -> ExitCode:
    """Run, print the leaderboard and where everything is, and return the exit code."""
    console = Console()
    with exit_on_user_error():
        result = run_options(options, console)
        before_board = time.perf_counter()
        if result.records:
            report(result.records, options.output_folder, console, options.quiet)
        elif result.not_run and result.not_run[0].usage:
            raise UsageError(result.not_run[0].reason)
    seconds = {**result.seconds, "board": time.perf_counter() - before_board}
    if not options.quiet:
        phases = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
        console.print(f"Seconds: {phases}", highlight=False)
    if result.reused:
        console.print(
            f"{result.reused} of {len(result.records)} cells were finished before and reused.", highlight=False
        )
    store = f"MLflow store: {result.tracker.display_uri}\n  open it with: {result.tracker.ui_command()}"
    console.print(store, highlight=False, soft_wrap=True, markup=False)
    if result.untracked:
        print(f"warning: all records are in {result.store.folder}; {result.untracked}", file=sys.stderr)
    failed = _print_failures(result, console) or result.broken_includes
    return ExitCode.FAILED if failed else ExitCode.OK


def _print_failures(result: RunResult, console: Console) -> bool:
    """Print each cell that failed or did not run, and how many there are. Returns whether there are any."""
    broken = [record for record in result.records if record.status in BROKEN]
    for record in broken:
        text = escape(f"{result.store.path_for(record)}: {record.reason}")
        console.print(f"[red]{record.status}[/]: {text}", highlight=False, soft_wrap=True)
    reasons: dict[str, list[NotRun]] = {}
    for cell in result.not_run:
        reasons.setdefault(cell.reason, []).append(cell)
    for reason, cells in reasons.items():
        text = escape(f"{len(cells)} x {cells[0].label}{' and others' if len(cells) > 1 else ''}: {reason}")
        console.print(f"[red]not run[/]: {text}", highlight=False, soft_wrap=True)
    if not broken and not result.not_run:
        return False
    counts = f"{len(broken)} failed, {len(result.not_run)} not run, {len(result.records) - len(broken)} succeeded"
    console.print(f"{counts}; to run the failed ones again: --retry-failed", highlight=False)
    return True


def run_options(options: RunOptions, console: Console | None = None, *, needs_all_files: bool = False) -> RunResult:
    """Do everything that `coterie run` does except the leaderboard: check, run, store and track.

    With `needs_all_files`, a file of `include` that does not load raises its `IncludeError`. Otherwise it is reported, and
    methods that were named still run.
    """
    from coterie.benchmark.commands.progress import RunProgress
    from coterie.tracking.mlflow_log import Tracker
    from coterie.tracking.run_log import RunLog
    from coterie.tracking.store import RecordStore

    console = console or Console()
    progress = RunProgress(console, options.quiet)
    included = load_included(options, needs_all_files)
    if options.started is not None:
        progress.spent("start-up", time.perf_counter() - options.started)
    with progress, progress.timed("loading"):
        grid = build_grid(options, included, progress.reading)
    warn_unranked(grid)
    store = RecordStore(options.output_folder)
    store.check_writable()
    tracker = Tracker(options.tracking_uri, options.output_folder)
    log = RunLog(tracker, store, options.suite, {"coterie.suite": options.suite}, _parent_parameters(grid))
    if not options.quiet:
        console.print(_header(options, grid), highlight=False, markup=False)
    with progress:
        records, not_run = _run_cells(grid, store, log, progress)
    return RunResult(
        records=records,
        not_run=not_run,
        reused=progress.reused,
        untracked=_untracked(log),
        broken_includes=included.broken,
        seconds=progress.seconds,
        tracker=tracker,
        store=store,
    )


def _run_cells(grid: Grid, store: RecordStore, log: RunLog, progress: RunProgress) -> tuple[list[Record], list[NotRun]]:
    """Run the missing cells, log every cell, and return the records in the grid's order and the cells without one."""
    from coterie.benchmark.runner.grid import Run, make_executor

    records: dict[str, Record] = {}
    run = Run(grid, store, progress)
    progress.step("opening the MLflow store")
    before_store = time.perf_counter()
    with make_executor(run) as executor, log:
        progress.spent("logging", time.perf_counter() - before_store)
        for record, reused in run.cells(executor):
            records[record.identity_digest] = record
            with progress.timed("logging"):
                log.cell(record, reused)
    digests = (cell.identity.digest() for cell in run.planned)
    return [records[digest] for digest in digests if digest in records], run.not_run


def _untracked(log: RunLog) -> str | None:
    problems = "; ".join(log.problems)
    if log.missing:
        return f"{log.missing} cells are not in MLflow ({problems}); log them with: coterie sync {log.folder}"
    return f"all cells are in MLflow, but there were problems: {problems}" if problems else None


def _header(options: RunOptions, grid: Grid) -> str:
    tasks, methods = ", ".join(s.name for s in grid.tasks), ", ".join(m.selector for m in grid.methods)
    return (
        f"coterie run: suite {options.suite}, {format_count(grid.n_cells, 'cell')} on {grid.device}\n"
        f"  tasks    {tasks}\n  methods  {methods}\n  budgets  {', '.join(map(str, grid.budgets))}\n"
        f"  seeds    {len(grid.seeds)}\n  output   {options.output_folder}"
    )


def _parent_parameters(grid: Grid) -> dict[str, Any]:
    return {
        "tasks": ", ".join(s.name for s in grid.tasks),
        "methods": ", ".join(m.selector for m in grid.methods),
        "seeds": len(grid.seeds),
        "budgets": ", ".join(map(str, grid.budgets)),
        **{f"settings.{name}": value for name, value in grid.settings.model_dump().items()},
    }


def report(records: list[Record], output_folder: Path, console: Console, quiet: bool = False) -> Board:
    """Compile the leaderboard, print it unless `quiet`, write its files and return it."""
    from coterie.leaderboard import compile_board, print_board, write_board

    board = compile_board(records)
    if not quiet:
        print_board(board, console)
    written = write_board(board, output_folder)
    console.print("Written: " + ", ".join(map(str, written)), highlight=False, soft_wrap=True, markup=False)
    return board
