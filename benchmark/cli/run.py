"""`coterie run`: its options, its help, and the config file that may hold the options."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coterie.benchmark.cli.app import TyperUsageError, explain_usage_error
from coterie.benchmark.cli.options import (
    HOW,
    OUTPUT,
    WHAT,
    WHERE,
    WHICH,
    Device,
    Include,
    Methods,
    OutputFolder,
    Tasks,
    TrackingUri,
)
from coterie.benchmark.commands.logs import LogLevel
from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.benchmark.runner.choices import ExecutorName, Overwrite

if TYPE_CHECKING:
    from coterie.benchmark.commands.run_options import RunOptions

STARTED = time.perf_counter()


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make the options in the file the defaults of the command."""
    if path is None:
        return None
    from coterie.benchmark.commands.config import read_config

    options: dict[str, Any] = {p.name: p for p in context.command.params if p.name and not p.name.startswith("_")}

    def convert(name: str, value: Any) -> object:
        try:
            return options[name].process_value(context, value)
        except TyperUsageError as error:
            raise ValueError(explain_usage_error(error)) from None

    with exit_on_user_error():
        repeatable = [name for name, option in options.items() if option.multiple]
        context.default_map = {**(context.default_map or {}), **read_config(path, options, repeatable, convert)}
    return path


def _budgets(text: str | None) -> object:
    from coterie.benchmark.quantities import parse_budgets

    return None if text is None else parse_budgets(text)


def _duration(text: str | None) -> object:
    from coterie.benchmark.quantities import parse_duration

    return None if text is None else parse_duration(text)


def _size(text: str | None) -> object:
    from coterie.benchmark.quantities import parse_bytes

    return None if text is None else parse_bytes(text)


Suite = Annotated[
    str,
    typer.Option(
        "--suite", metavar="SUITE", help="Named selection; -t, -m and --seeds replace its parts.", rich_help_panel=WHAT
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", metavar="N", min=1, help="Seeds 0 to N-1 for every method.", rich_help_panel=WHAT),
]
Budget = Annotated[
    int | None,
    typer.Option(
        "--budget",
        metavar="N",
        min=1,
        help="Evaluations a method may spend on the discovery game.",
        rich_help_panel=WHAT,
    ),
]
Budgets = Annotated[
    str | None,
    typer.Option(
        "--budgets",
        metavar="N,N,...",
        callback=_budgets,
        help="Several budgets, such as 1e3,1e4, to see quality against budget.",
        rich_help_panel=WHAT,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        callback=_read_config,
        is_eager=True,
        help="YAML file with these options; the command line takes precedence.",
        rich_help_panel=WHAT,
    ),
]
OverwriteStrategy = Annotated[
    Overwrite,
    typer.Option(
        "--overwrite-strategy",
        help="Run the missing cells, all cells, or none (only compile the leaderboard).",
        rich_help_panel=WHICH,
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.", rich_help_panel=WHICH)]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failed cell.", rich_help_panel=WHICH)]
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Say why each cell would be run or reused; run nothing.", rich_help_panel=WHICH),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="TIME",
        callback=_duration,
        help="Kill a cell that runs longer than this: 90s, 30m, 2h. Default: no limit.",
        rich_help_panel=HOW,
    ),
]
MemoryLimit = Annotated[
    str | None,
    typer.Option(
        "--memory-limit",
        metavar="SIZE",
        callback=_size,
        help="Kill a cell whose process uses more memory than this: 8GB. Default: no limit.",
        rich_help_panel=HOW,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "-j",
        "--n-jobs",
        metavar="N",
        min=1,
        help="Cells that run concurrently. Default: 1; on Ray, as many as the cluster holds.",
        rich_help_panel=HOW,
    ),
]
Executor = Annotated[
    ExecutorName,
    typer.Option(
        "--executor",
        help="Worker processes on this machine, a Ray cluster, or this process (for a debugger).",
        rich_help_panel=HOW,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Address of the Ray cluster. Default: RAY_ADDRESS, or a cluster on this machine.",
        rich_help_panel=HOW,
    ),
]
MinimumLevel = Annotated[
    LogLevel,
    typer.Option(
        "--log-level", envvar="COTERIE_LOG_LEVEL", help="Minimum level to log, on stderr.", rich_help_panel=WHERE
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", help="Print only errors and where the results are.", rich_help_panel=WHERE),
]


def run(
    task: Tasks = None,
    method: Methods = None,
    suite: Suite = "quick",
    seeds: Seeds = None,
    budget: Budget = None,
    budgets: Budgets = None,
    include: Include = None,
    _config: Config = None,
    output_folder: OutputFolder = OUTPUT,
    tracking_uri: TrackingUri = None,
    log_level: MinimumLevel = "warning",
    quiet: Quiet = False,
    overwrite_strategy: OverwriteStrategy = "only-missing",
    retry_failed: RetryFailed = False,
    fail_fast: FailFast = False,
    explain: Explain = False,
    device: Device = "auto",
    timeout: Timeout = None,
    memory_limit: MemoryLimit = None,
    n_jobs: Jobs = None,
    executor: Executor = "local",
    address: Address = None,
) -> None:
    """Run methods on tasks, score them and print the leaderboard.

    Each cell (task x method x budget x seed) becomes a record and a run in MLflow. Finished cells are reused: interrupt at
    any time, and run again to continue. A cell that fails, crashes or runs out of time is recorded, and the others go on
    (docs/running.md). Exit codes: 0 success, 1 a cell failed, 2 wrong input, 130 interrupted, 143 ended by SIGTERM.

    Example: coterie run -t planted/coactive -m random -m hedonic-oca --seeds 3
    """
    arguments = locals()
    from coterie.benchmark.commands.explain import explain_command
    from coterie.benchmark.commands.logs import log_from
    from coterie.benchmark.commands.run import run_command

    log_from(log_level)
    options = _options(arguments)
    raise typer.Exit(explain_command(options) if explain else run_command(options))


def _options(given: dict[str, Any]) -> RunOptions:
    """Check the options. `--task` and `--method` become lists, and a single `--budget` a list of one."""
    from coterie.benchmark.commands.run_options import checked_options

    if given["budget"] is not None and given["budgets"] is not None:
        raise UsageError("expected --budget or --budgets, got both; fix: leave one out")
    budgets = given["budgets"] or ([] if given["budget"] is None else [given["budget"]])
    same = (
        *("suite", "seeds", "output_folder", "tracking_uri", "quiet", "retry_failed", "fail_fast"),
        *("device", "timeout", "memory_limit", "n_jobs", "executor", "address"),
    )
    return checked_options(
        {
            **{name: given[name] for name in same},
            "tasks": given["task"] or [],
            "methods": given["method"] or [],
            "include": given["include"] or [],
            "budgets": budgets,
            "overwrite": given["overwrite_strategy"],
            "started": STARTED,
        }
    )
