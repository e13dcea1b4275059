"""The list of commands. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from coterie.benchmark.cli import analysis, submit, tracking
from coterie.benchmark.cli.app import App
from coterie.benchmark.cli.leaderboard import leaderboard_app
from coterie.benchmark.cli.options import OUTPUT, Device, JsonFile, OutputFolder, TrackingUri
from coterie.benchmark.cli.run import run
from coterie.benchmark.errors import ExitCode, Terminated
from coterie.benchmark.perf.parts import list_parts

# idle threads of torch would spin on the cores that the fused kernels use; torch reads the variable when it is imported
os.environ.setdefault("GOMP_SPINCOUNT", "100000")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"coterie {version('coterie')}")
        raise typer.Exit


def coterie(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Which neurons of a transformer reranker work together?

    Methods propose coalitions of MLP neurons, and tasks judge them.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)


def list_(
    what: Annotated[
        Literal["tasks", "methods", "suites", "metrics"],
        typer.Argument(metavar="WHAT", help="tasks, methods, suites or metrics."),
    ],
) -> None:
    """List tasks, methods, suites or metrics.

    Example: coterie ls methods
    """
    from coterie.benchmark.commands.listing import print_list

    print_list(what)


def info(name: Annotated[str, typer.Argument(metavar="NAME", help="A task, method, suite or metric.")]) -> None:
    """Explain one task, method, suite or metric.

    Shows what it is, its parameters and where it comes from.

    Example: coterie info pydoc-llama/relevance
    """
    from coterie.benchmark.commands.listing import print_info

    print_info(name)


def doctor(
    output_folder: OutputFolder = OUTPUT,
    tracking_uri: TrackingUri = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check whether coterie can run on this machine.

    Shows versions, devices, threads, the cache, the output folder, MLflow, optional packages and environment variables, and
    marks each problem with its fix. Changes nothing. Exit codes: 0 coterie run would work, 1 something that it needs is
    broken.

    Example: coterie doctor --output-folder coterie-out
    """
    from coterie.benchmark.commands.doctor import doctor_command

    raise typer.Exit(doctor_command(output_folder, tracking_uri, as_json))


def train(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="A task file with a 'training' section, or a registered task.")
    ],
    folder: Annotated[
        Path,
        typer.Option(
            "--folder", metavar="FOLDER", help="Folder for the copy of a registered task, its base and its adapter."
        ),
    ] = Path("coterie-train"),
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage", metavar="STAGE", help="base, adapter or card; repeatable. Default: those that are missing."
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Fine-tune a task's reranker with LoRA and measure it.

    Trains on the task's source collection and writes the adapter to the folder that the file names as reranker.adapter; after
    that, `coterie run -t my_task.yaml` works. After an interruption, the same command continues from the last evaluation.

    Example: coterie train my_task.yaml
    """
    from coterie.benchmark.commands.train import train_command

    raise typer.Exit(train_command(task, folder, tuple(stage or ()), device))


def perf(
    part: Annotated[
        list[str] | None,
        typer.Argument(metavar="PART", help=f"Parts of the table: {', '.join(list_parts())}. Default: all."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure coterie's speed on this machine.

    Prints a table of ratios, targets and whether they are met, in under 10 minutes; keep the machine otherwise idle.
    Comparisons need extra packages: pip install 'coterie[perf]'.

    Example: coterie perf ablation gemm
    """
    from coterie.benchmark.commands.perf import perf_command

    raise typer.Exit(perf_command(tuple(part or ()), json_file))


app = App(
    name="coterie",
    epilog="First steps:  coterie doctor    coterie run    coterie ls tasks",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)
app.callback()(coterie)
app.command("run")(run)
app.command("ls")(list_)
app.command("info")(info)
app.command("doctor")(doctor)
app.command("runs")(tracking.runs)
app.command("history")(tracking.history)
app.command("compare")(tracking.compare)
app.command("sync")(tracking.sync)
app.command("fidelity")(analysis.fidelity)
app.command("transitions")(analysis.transitions)
app.command("inspect")(analysis.inspect)
app.command("partitions")(analysis.partitions)
app.command("train")(train)
app.command("perf")(perf)
app.command("new-method")(submit.new_method)
app.command("check")(submit.check)
app.command("submit")(submit.submit)
app.command("verify")(submit.verify)
app.add_typer(leaderboard_app, name="leaderboard")


def _on_sigterm(*_: object) -> None:
    raise Terminated


def main() -> None:
    """The console script. Never returns: it exits with one of `ExitCode`."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    app()
