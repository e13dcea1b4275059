"""The command line. Only names and options live here; every command imports what it needs when it runs."""

from __future__ import annotations

import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from coterie.benchmark.cli import submit as cli_submit
from coterie.benchmark.cli import tracking as cli_tracking
from coterie.benchmark.cli.app import App
from coterie.benchmark.cli.leaderboard import leaderboard_app
from coterie.benchmark.cli.tracking import OUTPUT, OutputFolder, TrackingUri
from coterie.benchmark.commands.preflight import MOST_BUDGET

# torch's idle threads would spin on the cores that the fused kernels use; read when torch is first imported
os.environ.setdefault("GOMP_SPINCOUNT", "100000")

STARTED = time.perf_counter()

app = App(
    name="coterie",
    help="Which neurons of a transformer reranker work together? Methods propose coalitions of MLP neurons, tasks judge them.",
    epilog="First steps:  coterie run    (a minute or two)    coterie ls methods    coterie info pydoc-llama/relevance",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

INTERRUPTED = 130  # what a shell expects of a program ended by Ctrl-C
TERMINATED = 143  # and by SIGTERM


class Overwrite(StrEnum):
    only_missing = "only-missing"
    always = "always"
    never = "never"


class ExecutorName(StrEnum):
    local = "local"
    ray = "ray"
    inline = "inline"


class LogLevel(StrEnum):
    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class Listed(StrEnum):
    tasks = "tasks"
    methods = "methods"
    suites = "suites"
    metrics = "metrics"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"coterie {version('coterie')}")
        raise typer.Exit


@app.callback()
def _main(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    if path is not None:
        from coterie.benchmark.commands.run import read_config

        options = [p for p in context.command.params if p.name and not p.name.startswith("_")]
        known = {str(option.name): bool(getattr(option, "multiple", False)) for option in options}
        context.default_map = {**(context.default_map or {}), **read_config(path, known)}
    return path


@app.command()
def run(
    task: Annotated[list[str] | None, typer.Option("-t", "--task", help="Task name or task.yaml; repeatable.")] = None,
    method: Annotated[
        list[str] | None, typer.Option("-m", "--method", help="Method, or name[param=value,...]; repeatable.")
    ] = None,
    suite: Annotated[
        str, typer.Option("--suite", help="Named selection; -t, -m, --seeds replace its parts.")
    ] = "quick",
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Seeds 0 to N-1 for every method.")] = None,
    budget: Annotated[
        int | None, typer.Option("--budget", min=1, help="Evaluations a method may spend on the discovery game.")
    ] = None,
    budgets: Annotated[
        str | None, typer.Option("--budgets", help="Several budgets, e.g. 1e3,1e4: quality against budget.")
    ] = None,
    _config: Annotated[
        Path | None,
        typer.Option(
            "--config", callback=_read_config, is_eager=True, help="YAML with these options; the command line wins."
        ),
    ] = None,
    include: Annotated[
        list[Path] | None, typer.Option("--include", help="A .py file with methods; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    output_folder: OutputFolder = OUTPUT,
    tracking_uri: TrackingUri = None,
    overwrite_strategy: Annotated[
        Overwrite, typer.Option("--overwrite-strategy", help="Run cells that are missing, all, or none (board only).")
    ] = Overwrite.only_missing,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failed cell.")] = False,
    timeout: Annotated[
        str | None, typer.Option("--timeout", help="Kill a cell after so long: 90s, 30m, 2h. Default: no limit.")
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option("--memory-limit", help="Kill a cell whose process uses more: 8GB. Default: no limit.")
    ] = None,
    n_jobs: Annotated[
        int | None,
        typer.Option("-j", "--n-jobs", min=1, help="Cells at once. Default: 1; on Ray, what the cluster holds."),
    ] = None,
    executor: Annotated[
        ExecutorName,
        typer.Option("--executor", help="Worker processes here, a Ray cluster, or this process (for a debugger)."),
    ] = ExecutorName.local,
    address: Annotated[
        str | None, typer.Option("--address", help="Of the Ray cluster; default: RAY_ADDRESS, or one on this machine.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why each cell would be run or reused; run nothing.")
    ] = False,
    log_level: Annotated[
        LogLevel,
        typer.Option("--log-level", envvar="COTERIE_LOG_LEVEL", help="From which level on to log, on stderr."),
    ] = LogLevel.warning,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; only errors and where the results are.")] = False,
) -> None:
    """Run methods on tasks, score them, track them in MLflow and print the leaderboard.

    Finished cells (task x method x budget x seed) are reused; interrupt at any time and run again to go on. A cell that
    fails, crashes or runs out of time is recorded and the others go on (docs/running.md). Exit codes: 0 fine, 1 a cell
    failed, 2 wrong input, 130 interrupted, 143 ended by SIGTERM.
    """
    from coterie.benchmark.commands.logs import log_from
    from coterie.benchmark.commands.run import RunOptions, explain_command, run_command
    from coterie.benchmark.errors import UsageError, exit_on_user_error
    from coterie.benchmark.quantities import parse_budgets, parse_bytes, parse_duration

    log_from(log_level.value)
    with exit_on_user_error():
        if budget is not None and budgets is not None:
            raise UsageError("expected --budget or --budgets, got both; fix: leave one out")
        several = parse_budgets(budgets) if budgets is not None else () if budget is None else (budget,)
        seconds = None if timeout is None else parse_duration(timeout)
        most = None if memory_limit is None else parse_bytes(memory_limit)
    options = RunOptions(
        tasks=tuple(task or ()),
        methods=tuple(method or ()),
        suite=suite,
        seeds=seeds,
        budgets=several,
        include=tuple(include or ()),
        device=device,
        output_folder=output_folder,
        tracking_uri=tracking_uri,
        overwrite=overwrite_strategy.value,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        n_jobs=n_jobs,
        executor=executor.value,
        address=address,
        timeout=seconds,
        memory_limit=most,
        quiet=quiet,
        started=STARTED,
    )
    raise typer.Exit(explain_command(options) if explain else run_command(options))


@app.command("ls")
def list_(what: Annotated[Listed, typer.Argument(help="What to list.")]) -> None:
    """List what there is: tasks, methods, suites or metrics."""
    from coterie.benchmark.commands.listing import print_list

    print_list(what.value)


@app.command()
def info(name: Annotated[str, typer.Argument(help="A task, method, suite or metric.")]) -> None:
    """Explain one task, method, suite or metric: what it is, its parameters, where it comes from."""
    from coterie.benchmark.commands.listing import print_info

    print_info(name)


app.add_typer(leaderboard_app, name="leaderboard")


@app.command()
def fidelity(
    task: Annotated[str, typer.Argument(help="Task name or task.yaml.")] = "pydoc-llama/relevance",
    budget: Annotated[
        int, typer.Option("--budget", min=1, max=MOST_BUDGET, help="Evaluations that an affinity may spend.")
    ] = 1000,
    pairs: Annotated[
        int, typer.Option("--pairs", min=10, max=1_000_000, help="Random pairs with exact synergy.")
    ] = 500,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    output_folder: OutputFolder = OUTPUT,
) -> None:
    """Compare every affinity with exact pair synergies on held-out queries: a table of rank correlations, and as JSON."""
    from coterie.benchmark.commands.fidelity import FidelityOptions, fidelity_command

    raise typer.Exit(fidelity_command(FidelityOptions(task, budget, pairs, device, output_folder)))


@app.command()
def transitions(
    task: Annotated[str, typer.Argument(help="Task name or task.yaml.")],
    method: Annotated[str, typer.Argument(help="Method, or name[param=value,...].")],
    layers: Annotated[str, typer.Option("--layers", help="First and last layer, e.g. 1-3.")],
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", min=0.0001, max=1, help="Share of a source's mass that is high; default: twice even."),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option("--beta", min=0.0001, max=1, help="Share of a target's mass that is high; default: twice even."),
    ] = None,
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Pairs beyond the matching count too.")] = False,
    smallest: Annotated[int, typer.Option("--smallest", min=1, help="Smaller coalitions are left out.")] = 2,
    draws: Annotated[
        int, typer.Option("--draws", min=20, max=100_000, help="Draws of random coalitions, for chance.")
    ] = 100,
    show: Annotated[
        int, typer.Option("--show", min=1, help="Coalitions a layer in the diagram; the rest as one.")
    ] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The method's seed.")] = 0,
    budget: Annotated[
        int, typer.Option("--budget", min=1, max=MOST_BUDGET, help="Evaluations a method may spend on a layer.")
    ] = 1000,
    include: Annotated[
        list[Path] | None, typer.Option("--include", help="A .py file with methods; repeatable.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    output_folder: OutputFolder = OUTPUT,
) -> None:
    """Follow a method's coalitions from layer to layer: which persist, split, merge, vanish, emerge, and how many by chance.

    Writes a report (JSON) and a Sankey diagram (HTML, PNG, SVG). Coalitions of finished cells of the output folder are
    taken from there. docs/transitions.md explains the numbers.
    """
    from coterie.benchmark.commands.transitions import TransitionsOptions, transitions_command
    from coterie.benchmark.transitions.report import Options

    options = TransitionsOptions(
        task=task,
        method=method,
        layers=layers,
        compare=Options(alpha=alpha, beta=beta, all_pairs=all_pairs, smallest=smallest, draws=draws, seed=seed),
        budget=budget,
        show=show,
        device=device,
        output_folder=output_folder,
        include=tuple(include or ()),
    )
    raise typer.Exit(transitions_command(options))


@app.command()
def train(
    task: Annotated[str, typer.Argument(help="A task file with a 'training' section, or a registered task.")],
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the copy of a registered task, its base and adapter are written.")
    ] = Path("coterie-train"),
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", help="base, adapter, card; repeatable. Default: what is missing of these."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Fine-tune a task's reranker with LoRA on its source collection, and measure it: from a base model to a task.

    Killed or interrupted, the same command goes on from the last evaluation. `coterie train my_task.yaml` writes the
    adapter to the folder that the file names as reranker.adapter, then `coterie run -t my_task.yaml` runs.
    """
    from coterie.benchmark.commands.train import train_command

    raise typer.Exit(train_command(task, folder, tuple(stage or ()), device))


@app.command()
def perf(
    part: Annotated[list[str] | None, typer.Argument(help="Parts of the table; default: all.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write all numbers to this file.")] = None,
) -> None:
    """Measure coterie's speed on this machine: a table of ratios, targets and whether they are met, in under 10 minutes.

    Parts: quick, ablation, gemm, shapley, interactions, hedonic, ndcg. Leave the machine alone meanwhile. Comparisons
    need other packages: pip install 'coterie[perf]'.
    """
    from coterie.benchmark.commands.perf import perf_command

    raise typer.Exit(perf_command(tuple(part or ()), json_file))


@app.command()
def partitions(
    folder: Annotated[Path, typer.Argument(help="A folder of MODEL_layerN_AFFINITY.npz files.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write all numbers to this file.")] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", help="Also write the tables to this file.")
    ] = None,
) -> None:
    """Describe published partitions of layers: how many coalitions, how large, how much of the layer they cover."""
    from coterie.benchmark.commands.partitions import partitions_command

    raise typer.Exit(partitions_command(folder, json_file, markdown_file))


@app.command()
def inspect(
    record: Annotated[Path, typer.Argument(help="A record: OUTPUT/records/TASK/METHOD/SEED-ID.json.")],
    coalition: Annotated[
        int | None,
        typer.Option("--coalition", min=0, help="Number of a coalition in the record; default: all evaluated."),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Task file, where the task is not a registered one.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    output_folder: OutputFolder = OUTPUT,
) -> None:
    """Show what a record's coalitions mean: a card each, as a page and as JSON.

    The held-out pairs on which it fires most and least, its tokens, the IR signal it follows, what its ablation costs;
    beside each number that of random sets of its size (docs/inspect.md). `coterie leaderboard build` links to the cards.
    """
    from coterie.benchmark.commands.inspect import InspectOptions, inspect_command

    raise typer.Exit(inspect_command(InspectOptions(record, coalition, task, output_folder, device)))


for command, function in {**cli_tracking.COMMANDS, **cli_submit.COMMANDS}.items():
    app.command(command)(function)


class _Terminated(BaseException):
    """SIGTERM: as cluster schedulers announce that they will kill."""


def _on_sigterm(*_: object) -> None:
    raise _Terminated


def main() -> None:
    """The console script: one line and exit code 2 for the user's mistakes, 130 for Ctrl-C, 143 for SIGTERM."""
    import signal

    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("interrupted; finished cells are kept, run again to go on", err=True)
        sys.exit(INTERRUPTED)
    except _Terminated:
        typer.echo("ended by SIGTERM; finished cells are kept, run again to go on", err=True)
        sys.exit(TERMINATED)
