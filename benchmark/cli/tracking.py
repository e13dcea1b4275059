"""The commands that ask about runs; as in :mod:`coterie.benchmark.cli.main`, names and options only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

OutputFolder = Annotated[Path, typer.Option("--output-folder", help="Where records, board and MLflow store lie.")]
OUTPUT = Path("coterie-out")
TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow store; default: MLFLOW_TRACKING_URI, or sqlite in the output folder."),
]
Csv = Annotated[Path | None, typer.Option("--csv", help="Also write the table's exact numbers to this file.")]


def runs(
    output_folder: OutputFolder = OUTPUT,
    tracking_uri: Annotated[
        str | None, typer.Option("--tracking-uri", help="List the runs of this MLflow store instead.")
    ] = None,
) -> None:
    """List the runs of an output folder: when, how long, how many cells, how it ended."""
    from coterie.benchmark.commands.history import runs_command

    raise typer.Exit(runs_command(output_folder, tracking_uri))


def history(
    task: Annotated[str, typer.Argument(help="Task name.")],
    method: Annotated[str, typer.Argument(help="Method, or name[param=value,...]; a name takes all parameters.")],
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="metric or metric/domain; repeatable. Default: the ranked ones."),
    ] = None,
    output_folder: Annotated[
        list[Path] | None, typer.Option("--output-folder", help="Where the records lie; repeatable.")
    ] = None,
    tracking_uri: TrackingUri = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="PNG to draw; default: history/TASK-METHOD.png in the output folder.")
    ] = None,
    csv: Csv = None,
) -> None:
    """Show one cell over code versions, dates and environments, and mark what changed significantly.

    From the records and from MLflow, which also has those that were replaced since.
    """
    from coterie.benchmark.commands.history import history_command

    folders = tuple(output_folder or (OUTPUT,))
    raise typer.Exit(history_command(task, method, tuple(metric or ()), folders, tracking_uri, plot, csv))


def compare(
    run_a: Annotated[str, typer.Argument(help="An output folder, a run of it (coterie runs), or an MLflow run id.")],
    run_b: Annotated[str, typer.Argument(help="The same; differences are B minus A.")],
    output_folder: OutputFolder = OUTPUT,
    tracking_uri: TrackingUri = None,
    csv: Csv = None,
) -> None:
    """Compare two runs: the paired difference per task, metric and method, with intervals."""
    from coterie.benchmark.commands.history import compare_command

    raise typer.Exit(compare_command(run_a, run_b, output_folder, tracking_uri, csv))


def sync(
    output_folder: Annotated[Path, typer.Argument(help="The folder that coterie run wrote to.")] = OUTPUT,
    tracking_uri: TrackingUri = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Log to MLflow what it lacks of an output folder: after a server was away, or into another store.

    Repeat it as you like: what is there is not logged again. Exit codes: 0 fine, 1 something could not be logged, 2
    wrong input or a store that does not answer.
    """
    from coterie.benchmark.commands.history import sync_command

    raise typer.Exit(sync_command(output_folder, tracking_uri, quiet))


COMMANDS: dict[str, Callable[..., None]] = {"runs": runs, "history": history, "compare": compare, "sync": sync}
