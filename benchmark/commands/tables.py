"""Tables for the terminal, which look the same in all commands."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import Console
from rich.table import Table


def plain_table(headings: Sequence[str], left: Collection[str] = ()) -> Table:
    """An empty table without lines. Its columns are aligned right, apart from those in `left`."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right")
    return table


def wide_console(width: int = 160) -> Console:
    """The terminal or, if the output goes to a file, a console of this width, so that rows fit on one line."""
    console = Console()
    return console if console.is_terminal else Console(width=width)
