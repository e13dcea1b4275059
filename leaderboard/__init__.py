"""Records -> ranked tables -> terminal, Markdown, JSON, a static page, a site and a DataFrame."""

from coterie.leaderboard.board.frame import load
from coterie.leaderboard.board.table import compile_board
from coterie.leaderboard.board.types import Board
from coterie.leaderboard.display.render import print_board, render_html, render_json, render_markdown, write_board

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
