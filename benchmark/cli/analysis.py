"""The commands that look into coalitions, affinities and layers: options and help only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.benchmark.cli.options import (
    OUTPUT,
    AffinityBudget,
    Device,
    Include,
    JsonFile,
    LayerBudget,
    Method,
    OutputFolder,
    Task,
)

Alpha = Annotated[
    float | None,
    typer.Option(
        "--alpha",
        metavar="SHARE",
        min=0.0001,
        max=1,
        help="Share of a source's mass that counts as high. Default: twice an even share.",
    ),
]
Beta = Annotated[
    float | None,
    typer.Option(
        "--beta",
        metavar="SHARE",
        min=0.0001,
        max=1,
        help="Share of a target's mass that counts as high. Default: twice an even share.",
    ),
]
Draws = Annotated[
    int,
    typer.Option("--draws", metavar="N", min=20, max=100_000, help="Draws of random coalitions, to estimate chance."),
]
Shown = Annotated[
    int,
    typer.Option(
        "--show", metavar="N", min=1, help="Coalitions per layer in the diagram; the others are drawn as one."
    ),
]


def fidelity(
    task: Task = "pydoc-llama/relevance",
    budget: AffinityBudget = 1000,
    pairs: Annotated[
        int, typer.Option("--pairs", metavar="N", min=10, max=1_000_000, help="Random pairs with exact synergy.")
    ] = 500,
    device: Device = "auto",
    output_folder: OutputFolder = OUTPUT,
) -> None:
    """Compare each affinity with exact pair synergies.

    Prints rank correlations on held-out queries as a table and writes them as JSON.

    Example: coterie fidelity planted/coactive --pairs 100
    """
    from coterie.benchmark.commands.fidelity import FidelityOptions, fidelity_command

    raise typer.Exit(fidelity_command(FidelityOptions(task, budget, pairs, device, output_folder)))


def transitions(
    task: Task,
    method: Method,
    layers: Annotated[str, typer.Option("--layers", metavar="A-B", help="First and last layer, such as 1-3.")],
    alpha: Alpha = None,
    beta: Beta = None,
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Also count pairs beyond the matching.")] = False,
    smallest: Annotated[
        int, typer.Option("--smallest", metavar="N", min=1, help="Leave out coalitions smaller than this.")
    ] = 2,
    draws: Draws = 100,
    show: Shown = 16,
    seed: Annotated[int, typer.Option("--seed", metavar="SEED", min=0, help="Seed of the method.")] = 0,
    budget: LayerBudget = 1000,
    include: Include = None,
    device: Device = "auto",
    output_folder: OutputFolder = OUTPUT,
) -> None:
    """Follow a method's coalitions from layer to layer.

    Shows which persist, split, merge, vanish and emerge, and how many would do so by chance. Writes a report (JSON) and a
    Sankey diagram (HTML, PNG, SVG). Reuses the finished cells of the output folder. docs/transitions.md explains the
    numbers.

    Example: coterie transitions pydoc-llama/relevance hedonic-oca --layers 1-3
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


def inspect(
    record: Annotated[
        Path, typer.Argument(metavar="RECORD", help="A record: OUTPUT/records/TASK/METHOD/SEED-ID.json.")
    ],
    coalition: Annotated[
        int | None,
        typer.Option(
            "--coalition",
            metavar="N",
            min=0,
            help="Number of a coalition in the record. Default: all evaluated ones.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="FILE", help="Task file, if the task is not a registered one.")
    ] = None,
    device: Device = "auto",
    output_folder: OutputFolder = OUTPUT,
) -> None:
    """Show what a record's coalitions mean, one card each.

    A card has the held-out pairs on which the coalition fires most and least, its tokens, the IR signal that it follows and
    what its ablation costs, each next to the same number for random sets of its size (docs/inspect.md). Writes a page and
    JSON; `coterie leaderboard build` links to them.

    Example: coterie inspect out/records/my/task/random/0-0123456789abcdef.json
    """
    from coterie.benchmark.commands.inspect import InspectOptions, inspect_command

    raise typer.Exit(inspect_command(InspectOptions(record, coalition, task, output_folder, device)))


def partitions(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of MODEL_layerN_AFFINITY.npz files.")],
    json_file: JsonFile = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Also write the tables to this file.")
    ] = None,
) -> None:
    """Describe published partitions of layers.

    Counts the coalitions, their sizes and how much of the layer they cover.

    Example: coterie partitions downloads/partitions --markdown partitions.md
    """
    from coterie.benchmark.commands.partitions import partitions_command

    raise typer.Exit(partitions_command(folder, json_file, markdown_file))
