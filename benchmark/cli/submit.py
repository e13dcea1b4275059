"""The commands that lead from a method to a verified submission: names and options only, as in ``main.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from coterie.benchmark.commands.preflight import MOST_SEEDS


def new_method(
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits and dashes.")],
    folder: Annotated[Path, typer.Option("--folder", help="Where the two files are written.")] = Path("."),
) -> None:
    """Write a commented method that runs as it is, and its tests: the start of a baseline of your own (CONTRIBUTING.md)."""
    from coterie.benchmark.commands.new_method import new_method_command

    raise typer.Exit(new_method_command(name, folder))


def check(
    path: Annotated[Path, typer.Argument(help="A .py file with methods.")],
    timeout: Annotated[str, typer.Option("--timeout", help="A check fails after so long: 90s, 30m.")] = "60s",
) -> None:
    """Check what every method must do, on the methods of a file: each failure with what was seen and the fix.

    The same checks as in the tests and in CI. Exit codes: 0 all pass, 1 a check fails, 2 the file does not load.
    """
    from coterie.benchmark.commands.check import check_command
    from coterie.benchmark.errors import exit_on_user_error
    from coterie.benchmark.quantities import parse_duration

    with exit_on_user_error():
        seconds = parse_duration(timeout)
    raise typer.Exit(check_command(path, seconds))


def submit(
    output_folder: Annotated[Path, typer.Argument(help="The output folder of a finished run.")],
    method: Annotated[str | None, typer.Option("-m", "--method", help="Method, or name[param=value,...].")] = None,
    built_in: Annotated[
        bool, typer.Option("--built-in", help="Every method of the suite, with cards made from the registry.")
    ] = False,
    suite: Annotated[str, typer.Option("--suite", help="The suite that was run.")] = "quick",
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, max=MOST_SEEDS, help="Seeds 0 to N-1; default: those of the suite.")
    ] = None,
    card: Annotated[
        Path, typer.Option("--card", help="The method card; where there is none, a template is written.")
    ] = Path("card.yaml"),
    to: Annotated[Path, typer.Option("--to", help="Where submissions lie.")] = Path("leaderboard/submissions"),
) -> None:
    """Gather a method's records over a suite, with a card, into a submission: TO/METHOD/VERSION.

    Refuses what is incomplete or of mixed versions, and says what is missing.
    """
    from coterie.benchmark.commands.submit import SubmitOptions, submit_command

    if (method is None) != built_in:
        raise typer.BadParameter("expected either -m METHOD or --built-in", param_hint="-m")
    raise typer.Exit(submit_command(SubmitOptions(output_folder, method, suite, seeds, card, to)))


def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Submissions, leaderboard/submissions/METHOD/VERSION, or a folder of them."),
    ],
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Score the coalitions of submissions again from scratch and compare every number; lists each discrepancy.

    Writes verification.json, the badge, where there is none. Exit codes: 0 verified, 1 not, 2 no such folder.
    """
    from coterie.benchmark.commands.verify import verify_command

    raise typer.Exit(verify_command(paths, device))


COMMANDS: dict[str, Callable[..., None]] = {
    "new-method": new_method,
    "check": check,
    "submit": submit,
    "verify": verify,
}
