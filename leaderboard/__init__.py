"""Records -> ranked tables -> terminal, Markdown, JSON and a static page."""

from coterie.leaderboard.board import Board
from coterie.leaderboard.render import print_board, render_html, render_json, render_markdown, write_board
from coterie.leaderboard.table import compile_board

__all__ = ["Board", "compile_board", "print_board", "render_html", "render_json", "render_markdown", "write_board"]
