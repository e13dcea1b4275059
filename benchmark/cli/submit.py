"""The commands from a new method to a verified submission: options and help only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.benchmark.cli.options import Device
from coterie.benchmark.commands.preflight import MOST_SEEDS


def new_method(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name: a lower-case letter, then letters, digits and single dashes.")
    ],
    folder: Annotated[Path, typer.Option("--folder", metavar="FOLDER", help="Folder for the two files.")] = Path("."),
) -> None:
    """Write a commented method and its tests to start from.

    The method runs before you change anything (CONTRIBUTING.md).

    Example: coterie new-method my-idea
    """
    from coterie.benchmark.commands.new_method import new_method_command

    raise typer.Exit(new_method_command(name, folder))


def check(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A .py file with methods.")],
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="Fail a check that runs longer than this: 90s, 30m.")
    ] = "60s",
) -> None:
    """Check the methods of a file against the contract.

    The tests and CI run the same checks. Each failure shows what was observed and how to fix it. Exit codes: 0 all checks
    pass, 1 a check fails, 2 the file does not load.

    Example: coterie check my_idea.py
    """
    from coterie.benchmark.commands.check import check_command
    from coterie.benchmark.quantities import parse_duration

    raise typer.Exit(check_command(path, parse_duration(timeout)))


def submit(
    output_folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The output folder of a finished run.")],
    method: Annotated[
        str | None, typer.Option("-m", "--method", metavar="METHOD", help="Method, or name[param=value,...].")
    ] = None,
    built_in: Annotated[
        bool, typer.Option("--built-in", help="Every method of the suite, with cards made from the registry.")
    ] = False,
    suite: Annotated[str, typer.Option("--suite", metavar="SUITE", help="The suite that was run.")] = "quick",
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds", metavar="N", min=1, max=MOST_SEEDS, help="Seeds 0 to N-1. Default: those of the suite."
        ),
    ] = None,
    card: Annotated[
        Path,
        typer.Option("--card", metavar="FILE", help="The method card; if it does not exist, a template is written."),
    ] = Path("card.yaml"),
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Folder of the submissions.")] = Path(
        "leaderboard/submissions"
    ),
) -> None:
    """Gather a method's records and card into a submission.

    Writes the folder TO/METHOD/VERSION. Refuses incomplete records and mixed versions, and names what is missing.

    Example: coterie submit coterie-out -m my-idea --card card.yaml
    """
    from coterie.benchmark.commands.submit import SubmitOptions, submit_command

    if (method is None) != built_in:
        raise typer.BadParameter("expected either -m METHOD or --built-in", param_hint="-m")
    raise typer.Exit(submit_command(SubmitOptions(output_folder, method, suite, seeds, card, to)))


def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER", help="Submissions, leaderboard/submissions/METHOD/VERSION, or a folder of them."
        ),
    ],
    device: Device = "auto",
) -> None:
    """Score submissions again and compare every number.

    Scores the stored coalitions from scratch, lists each discrepancy, and writes a missing verification.json (the badge).
    Exit codes: 0 verified, 1 not verified, 2 no such folder.

    Example: coterie verify leaderboard/submissions/random
    """
    from coterie.benchmark.commands.verify import verify_command

    raise typer.Exit(verify_command(paths, device))
