"""The commands that lead from a method to a verified submission; as in :mod:`coterie.benchmark.cli`, names and options only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def new_method(
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits and dashes.")],
    folder: Annotated[Path, typer.Option("--folder", help="Where the two files are written.")] = Path("."),
) -> None:
    """Write a commented method that runs as it is, and its tests: the start of a baseline of your own (CONTRIBUTING.md)."""
    from coterie.benchmark.new_method_command import new_method_command

    raise typer.Exit(new_method_command(name, folder))


def check(
    path: Annotated[Path, typer.Argument(help="A .py file with methods.")],
    timeout: Annotated[str, typer.Option("--timeout", help="A check fails after so long: 90s, 30m.")] = "60s",
) -> None:
    """Check what every method must do, on the methods of a file: each failure with what was seen and the fix.

    The same checks as in the tests and in CI. Exit codes: 0 all pass, 1 a check fails, 2 the file does not load.
    """
    from coterie.benchmark.check_command import check_command
    from coterie.benchmark.errors import told_in_one_line
    from coterie.benchmark.units import parse_duration

    with told_in_one_line():
        seconds = parse_duration(timeout)
    raise typer.Exit(check_command(path, seconds))


COMMANDS: dict[str, Callable[..., None]] = {"new-method": new_method, "check": check}
