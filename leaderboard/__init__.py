"""Records -> ranked tables -> terminal, Markdown, JSON, a static page, a site and a DataFrame."""

from coterie.leaderboard.board import Board
from coterie.leaderboard.frame import load
from coterie.leaderboard.render import print_board, render_html, render_json, render_markdown, write_board
from coterie.leaderboard.table import compile_board

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
