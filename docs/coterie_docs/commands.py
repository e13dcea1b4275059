"""The command line reference, with the texts of `coterie COMMAND --help`."""

from __future__ import annotations

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from coterie.benchmark.cli.main import app


def pages() -> dict[str, str | bytes]:
    """A single page with every command, option and help text."""
    command = get_command(app)
    context = typer.Context(command, info_name="coterie")
    return {"reference/commands.md": get_docs_for_click(obj=command, ctx=context, name="coterie", title="Command line")}
