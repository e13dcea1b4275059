"""What the commands do: put the parts together, from options to records, MLflow and the board."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.markup import escape

from coterie.benchmark.commands.preflight import check_amounts, check_available, check_cells, tasks_of, unranked
from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.tasks.config.paths import at_home

if TYPE_CHECKING:
    from coterie.benchmark.runner.grid import ExecutorName, Grid, Overwrite
    from coterie.benchmark.runner.messages import NotRun
    from coterie.leaderboard.board.types import Board
    from coterie.tracking.mlflow_log import Tracker
    from coterie.tracking.record import Record
    from coterie.tracking.run_log import RunLog
    from coterie.tracking.store import RecordStore

FAILED = 1


@dataclass(frozen=True)
class RunOptions:
    """The options of ``coterie run``; what is None or empty comes from the suite."""

    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    suite: str = "quick"
    seeds: int | None = None
    budgets: tuple[int, ...] = ()
    include: tuple[Path, ...] = ()
    device: str = "auto"
    output_folder: Path = Path("coterie-out")
    tracking_uri: str | None = None
    overwrite: Overwrite = "only-missing"
    retry_failed: bool = False
    fail_fast: bool = False
    n_jobs: int | None = None
    executor: ExecutorName = "local"
    address: str | None = None  # of a Ray cluster
    timeout: float | None = None  # seconds a cell
    memory_limit: int | None = None  # bytes a cell
    quiet: bool = False
    started: float | None = None  # time.perf_counter() when the process began


@dataclass(frozen=True)
class RunResult:
    """What a run left: every cell's record, and what went wrong on the way."""

    records: list[Record]
    not_run: list[NotRun]
    reused: int
    untracked: list[str]
    broken_includes: list[str]
    seconds: dict[str, float]  # by phase
    tracker: Tracker
    store: RecordStore


def run_command(options: RunOptions) -> int:
    """``coterie run``: prints the board and where everything is, and returns the exit code."""
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
        console.print(
            "Seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()), highlight=False
        )
    if result.reused:
        console.print(
            f"{result.reused} of {len(result.records)} cells were finished before and reused.", highlight=False
        )
    tracker = result.tracker
    console.print(
        f"MLflow store: {tracker.display_uri}\n  open it with: {tracker.ui_command()}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    for problem in result.untracked:
        print(
            f"warning: all records are in {result.store.folder}; {problem}",
            file=sys.stderr,
        )
    return _summary(result, console) or (FAILED if result.broken_includes else 0)


def _summary(result: RunResult, console: Console) -> int:
    """Print what went wrong, cell by cell; the exit code."""
    broken = [r for r in result.records if r.status in ("failed", "timeout")]
    for record in broken:
        text = escape(f"{result.store.path_for(record)}: {record.reason}")
        console.print(f"[red]{record.status}[/]: {text}", highlight=False, soft_wrap=True)
    reasons: dict[str, list[NotRun]] = {}
    for cell in result.not_run:
        reasons.setdefault(cell.reason, []).append(cell)
    for reason, cells in reasons.items():
        text = escape(f"{len(cells)} x {cells[0].cell}{' and others' if len(cells) > 1 else ''}: {reason}")
        console.print(f"[red]not run[/]: {text}", highlight=False, soft_wrap=True)
    if not broken and not result.not_run:
        return 0
    counts = f"{len(broken)} failed, {len(result.not_run)} not run, {len(result.records) - len(broken)} fine"
    console.print(f"{counts}; to run the failed ones again: --retry-failed", highlight=False)
    return FAILED


def run_options(options: RunOptions, console: Console | None = None) -> RunResult:
    """Everything of ``coterie run`` but the board: check, run, store, track."""
    from coterie.benchmark.commands.progress import RunProgress
    from coterie.benchmark.runner.grid import Run, make_executor
    from coterie.tracking.mlflow_log import Tracker
    from coterie.tracking.run_log import RunLog
    from coterie.tracking.store import RecordStore

    console = console or Console()
    loaded, broken_includes = _include(options)
    grid = build_grid(replace(options, include=loaded))
    _warn(grid)
    store = RecordStore(options.output_folder)
    store.check_writable()
    tracker = Tracker(options.tracking_uri, options.output_folder)
    log = RunLog(tracker, store, options.suite, {"coterie.suite": options.suite}, _parent_parameters(grid))
    if not options.quiet:
        console.print(_header(options, grid), highlight=False, markup=False)
    records: dict[str, Record] = {}
    with RunProgress(console, options.quiet) as progress:
        if options.started is not None:
            progress.spent("start-up", time.perf_counter() - options.started)
        run = Run(grid, store, progress)
        progress.step("opening the MLflow store")
        before_store = time.perf_counter()
        with make_executor(run) as executor, log:
            progress.spent("logging", time.perf_counter() - before_store)
            for record, reused in run.cells(executor):
                records[record.identity_digest] = record
                with progress.timed("logging"):
                    log.cell(record, reused)
    in_order = [records[d] for d in (cell.identity.digest() for cell in run.planned) if d in records]
    return RunResult(
        in_order, run.not_run, progress.reused, _untracked(log), broken_includes, progress.seconds, tracker, store
    )


def explain_command(options: RunOptions) -> int:
    """``coterie run --explain``: what would be run and why, cell by cell; nothing is run or written."""
    from coterie.benchmark.commands.explain import explain
    from coterie.benchmark.runner.grid import Run
    from coterie.benchmark.runner.messages import Listener
    from coterie.tracking.store import RecordStore

    console = Console()
    with exit_on_user_error():
        loaded, broken = _include(options)
        grid = build_grid(replace(options, include=loaded))
        _warn(grid)
        store = RecordStore(options.output_folder)
        run = Run(grid, store, Listener())
        scan = store.scan()
    for unreadable in scan.unreadable:
        print(f"left out: {unreadable}", file=sys.stderr)
    for explanation in explain(run.planned, scan.records):
        identity = explanation.cell.identity
        where = f"{explanation.cell.order.cell}, budget {identity.budget}"
        console.print(f"{where} ({identity.digest()[:12]}) {explanation.verdict}", highlight=False, markup=False)
        for name, stored, wanted in explanation.changes:
            console.print(f"    {name}: {stored} -> {wanted}", highlight=False, markup=False)
    console.print(f"{len(run.missing)} of {len(run.planned)} cells would be run.", highlight=False)
    return FAILED if broken else 0


def _warn(grid: Grid) -> None:
    """Say on stderr, a line for each task, what cannot be ranked."""
    for line in filter(None, map(unranked, grid.tasks)):
        print(f"warning: {line}", file=sys.stderr)


def _untracked(log: RunLog) -> list[str]:
    """What is not in MLflow, and how it gets there."""
    problems = "; ".join(log.problems)
    if not log.missing:
        return [f"all cells are in MLflow, but meanwhile: {problems}"] if problems else []
    return [f"{log.missing} cells are not in MLflow ({problems}); log them with: coterie sync {log.folder}"]


def build_grid(options: RunOptions) -> Grid:
    """Everything that is to be run, checked. Raises an error of one line for an unknown name or parameter."""
    from coterie.benchmark.protocol.suites import SUITES
    from coterie.benchmark.runner.executors import Limits
    from coterie.benchmark.runner.grid import Grid
    from coterie.methods.registry import get_method
    from coterie.tasks.config.text import did_you_mean

    check_amounts(options)
    if options.suite not in SUITES:
        raise UsageError(f"unknown suite {options.suite!r}{did_you_mean(options.suite, SUITES)}")
    suite = SUITES[options.suite]
    device = resolve_device(options.device)
    included = tuple(cls.name for cls in _included(options)) if not options.methods else ()
    methods = [get_method(selector) for selector in dict.fromkeys((*(options.methods or suite.methods), *included))]
    specs = tasks_of(options.tasks or suite.tasks)
    check_cells(len(specs) * len(methods) * max(1, len(options.budgets)) * (options.seeds or suite.seeds))
    for spec in specs:
        check_available(spec, device, options.memory_limit)
    return Grid(
        tasks=specs,
        methods=methods,
        seeds=range(options.seeds or suite.seeds),
        budgets=options.budgets or (suite.budget,),
        settings=suite.settings,
        overwrite=options.overwrite,
        retry_failed=options.retry_failed,
        fail_fast=options.fail_fast,
        device=device,
        include=options.include,
        n_jobs=options.n_jobs,
        executor=options.executor,
        address=options.address,
        limits=Limits(options.timeout, options.memory_limit),
    )


def resolve_device(wanted: str) -> str:
    """``auto`` is cuda where there is one, else mps, else cpu. Raises ``UsageError`` where the named one is missing."""
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if wanted not in there:
        raise UsageError(f"--device: expected auto, {', '.join(there)}, got {wanted!r}")
    if not there[wanted]:
        raise UsageError(f"--device {wanted}: not available here; fix: --device auto")
    return wanted


def _include(options: RunOptions) -> tuple[tuple[Path, ...], list[str]]:
    """Load the include files: those that are, and what is wrong with the others.

    One that does not load ends the run, unless methods were named: then they still run.
    """
    from coterie.methods.registry import IncludeError, include

    loaded, broken = [], []
    for path in options.include:
        try:
            include(path)
            loaded.append(path)
        except IncludeError as error:
            if not options.methods:
                raise
            broken.append(str(error))
            print(f"error: {error}", file=sys.stderr)
    return tuple(loaded), broken


def _included(options: RunOptions) -> list[Any]:
    from coterie.methods.registry import include

    return [cls for path in options.include for cls in include(path)]


def _header(options: RunOptions, grid: Grid) -> str:
    tasks, methods = ", ".join(s.name for s in grid.tasks), ", ".join(m.selector for m in grid.methods)
    return (
        f"coterie run: suite {options.suite}, {grid.n_cells} cells on {grid.device}\n"
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
    """Print the board, write its files and return it."""
    from coterie.leaderboard import compile_board, print_board, write_board

    board = compile_board(records)
    if not quiet:
        print_board(board, console)
    written = write_board(board, output_folder)
    console.print("Written: " + ", ".join(map(str, written)), highlight=False, soft_wrap=True, markup=False)
    return board


_NUMBERS = ("seeds", "budget", "n_jobs")  # options that true would count as 1


def read_config(path: Path, options: dict[str, bool]) -> dict[str, Any]:
    """Options from a YAML mapping (``methods: [random]`` is written ``method: [random]``), names checked.

    ``options`` maps each option's name to whether it is repeatable. Raises ``UsageError``.
    """
    from coterie.tasks.config.text import did_you_mean
    from coterie.tasks.config.yaml_file import repeated_key, why_not

    with exit_on_user_error():
        try:
            path = Path(at_home(str(path)))
        except ValueError as error:
            raise UsageError(f"--config: {error}") from None
        try:
            text = path.read_text("utf8")
            raw = yaml.safe_load(text) or {}
            twice = repeated_key(yaml.compose(text, Loader=yaml.SafeLoader))
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            raise UsageError(f"{path}: cannot be read as YAML: {why_not(error)}; fix: that place") from None
        if twice:
            raise UsageError(f"{path}:{twice[1]}: {twice[0]}: expected once, stands twice; fix: leave one out")
        if not isinstance(raw, dict):
            raise UsageError(
                f"{path}: expected a mapping of options, got {type(raw).__name__}; fix: lines like 'seeds: 3'"
            )
        values: dict[str, Any] = {}
        for written, value in raw.items():
            name = str(written).replace("-", "_")
            if name in values:
                raise UsageError(f"{path}: {name}: expected once, stands twice; fix: leave one out")
            if name in _NUMBERS and isinstance(value, bool):
                raise UsageError(f"{path}: {name}: expected a number, got {str(value).lower()}; fix: {name}: 1")
            values[name] = value
        for name, value in values.items():
            if name not in options:
                raise UsageError(f"{path}: unknown option {name!r}{did_you_mean(name, options)}")
            if options[name] and not isinstance(value, list):
                values[name] = [value]
        return values
