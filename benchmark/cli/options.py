"""The options and arguments of all commands, as types: `output_folder: OutputFolder = OUTPUT`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.benchmark.commands.preflight import MOST_BUDGET
from coterie.benchmark.runner.choices import DeviceName

OUTPUT = Path("coterie-out")
WHAT, WHERE, WHICH, HOW = "What to run", "Where results go", "Which cells", "How cells run"
"""The headings of `coterie run --help`."""

Task = Annotated[str, typer.Argument(metavar="TASK", help="Task name or task.yaml.")]
Method = Annotated[str, typer.Argument(metavar="METHOD", help="Method, or name[param=value,...].")]
Tasks = Annotated[
    list[str] | None,
    typer.Option("-t", "--task", metavar="TASK", help="Task name or task.yaml; repeatable.", rich_help_panel=WHAT),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "-m", "--method", metavar="METHOD", help="Method, or name[param=value,...]; repeatable.", rich_help_panel=WHAT
    ),
]
Include = Annotated[
    list[Path] | None,
    typer.Option("--include", metavar="FILE", help="A .py file with methods; repeatable.", rich_help_panel=WHAT),
]
OutputFolder = Annotated[
    Path,
    typer.Option(
        "--output-folder",
        metavar="FOLDER",
        help="Folder of the records, the leaderboard and the MLflow store.",
        rich_help_panel=WHERE,
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="MLflow store. Default: MLFLOW_TRACKING_URI, or sqlite in the output folder.",
        rich_help_panel=WHERE,
    ),
]
Device = Annotated[
    DeviceName, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or mps.", rich_help_panel=HOW)
]
AffinityBudget = Annotated[
    int,
    typer.Option("--budget", metavar="N", min=1, max=MOST_BUDGET, help="Evaluations that each affinity may spend."),
]
LayerBudget = Annotated[
    int,
    typer.Option(
        "--budget", metavar="N", min=1, max=MOST_BUDGET, help="Evaluations that a method may spend per layer."
    ),
]
Csv = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Also write the table's exact numbers to this file.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write all numbers to this file.")]
