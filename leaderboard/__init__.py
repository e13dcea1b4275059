"""Compile records into ranked tables and show them: terminal, Markdown, JSON, a static page, a site, a DataFrame."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coterie.leaderboard.board.table import compile_board
    from coterie.leaderboard.board.types import Board
    from coterie.leaderboard.display.frame import load
    from coterie.leaderboard.display.render import print_board, render_html, render_json, render_markdown, write_board

# Loaded on first use: judging imports `coterie.leaderboard.statistics` only
_WHERE = {
    "Board": "board.types",
    "compile_board": "board.table",
    "load": "display.frame",
    "print_board": "display.render",
    "render_html": "display.render",
    "render_json": "display.render",
    "render_markdown": "display.render",
    "write_board": "display.render",
}


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Board",
    "compile_board",
    "load",
    "print_board",
    "render_html",
    "render_json",
    "render_markdown",
    "write_board",
]
