"""The commands about past runs: options and help only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.benchmark.cli.options import OUTPUT, Csv, OutputFolder, TrackingUri


def runs(
    output_folder: OutputFolder = OUTPUT,
    tracking_uri: Annotated[
        str | None, typer.Option("--tracking-uri", metavar="URI", help="List the runs of this MLflow store instead.")
    ] = None,
) -> None:
    """List the runs of an output folder.

    One line per run: when it started, how long it took, how many cells it had and how it ended.

    Example: coterie runs --output-folder coterie-out
    """
    from coterie.benchmark.commands.history import runs_command

    raise typer.Exit(runs_command(output_folder, tracking_uri))


def history(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task name.")],
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD", help="Method, or name[param=value,...]; without parameters, all are included."
        ),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="METRIC",
            help="Metric, or metric/domain; repeatable. Default: the ranked ones.",
        ),
    ] = None,
    output_folder: Annotated[
        list[Path] | None,
        typer.Option("--output-folder", metavar="FOLDER", help="Output folder of the records; repeatable."),
    ] = None,
    tracking_uri: TrackingUri = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="PNG to draw. Default: history/TASK-METHOD.png in the output folder."
        ),
    ] = None,
    csv: Csv = None,
) -> None:
    """Show one cell over versions, dates and environments.

    Marks significant changes. Reads the records and MLflow, which also keeps results replaced since.

    Example: coterie history pydoc-llama/relevance hedonic-oca
    """
    from coterie.benchmark.commands.history import history_command

    folders = tuple(output_folder or (OUTPUT,))
    raise typer.Exit(history_command(task, method, tuple(metric or ()), folders, tracking_uri, plot, csv))


def compare(
    run_a: Annotated[
        str,
        typer.Argument(metavar="RUN_A", help="An output folder, a run id from coterie runs, or an MLflow run id."),
    ],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The other run; differences are B minus A.")],
    output_folder: OutputFolder = OUTPUT,
    tracking_uri: TrackingUri = None,
    csv: Csv = None,
) -> None:
    """Compare two runs.

    Prints the paired difference per task, metric and method, with intervals.

    Example: coterie compare before-out after-out
    """
    from coterie.benchmark.commands.history import compare_command

    raise typer.Exit(compare_command(run_a, run_b, output_folder, tracking_uri, csv))


def sync(
    output_folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The output folder of coterie run.")] = OUTPUT,
    tracking_uri: TrackingUri = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")] = False,
) -> None:
    """Log the results of an output folder that MLflow lacks.

    Use it after a server was unavailable, or to fill another store. Nothing is logged twice, so you can repeat it. Exit
    codes: 0 success, 1 something could not be logged, 2 wrong input or a store that does not answer.

    Example: coterie sync coterie-out --tracking-uri http://localhost:5000
    """
    from coterie.benchmark.commands.history import sync_command

    raise typer.Exit(sync_command(output_folder, tracking_uri, quiet))
