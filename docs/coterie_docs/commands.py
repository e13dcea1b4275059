"""The command line's reference, from the application itself: what ``coterie COMMAND --help`` says."""

from __future__ import annotations

import re

import typer
from coterie.benchmark.cli import app
from typer.cli import get_docs_for_click
from typer.main import get_command

# Placeholders such as <path>, which are no tags; the rest of a line of options is text already
_PLACEHOLDER = re.compile(r"`([^`]*)`")


def pages() -> dict[str, str | bytes]:
    """One page with every command, option and help text."""
    command = get_command(app)
    context = typer.Context(command, info_name="coterie")
    return {"reference/commands.md": get_docs_for_click(obj=command, ctx=context, name="coterie", title="Command line")}
