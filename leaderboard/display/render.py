"""The board as the files that people open."""

from __future__ import annotations

import json
from pathlib import Path

from coterie.leaderboard.board.types import Board
from coterie.leaderboard.display.page import render_html
from coterie.leaderboard.display.text import print_board, render_markdown
from coterie.tracking.files import write_atomic

__all__ = ["print_board", "render_html", "render_json", "render_markdown", "write_board"]


def render_json(board: Board) -> str:
    """The board's exact numbers; `Board.model_validate_json` reads them back."""
    return board.model_dump_json(indent=1) + "\n"


def render_schema() -> str:
    """The published JSON schema of `leaderboard.json`; its version is the constant `schema_version`."""
    return json.dumps(Board.model_json_schema(), indent=1) + "\n"


def write_board(board: Board, folder: Path) -> list[Path]:
    """Write `leaderboard.json` with its schema, `leaderboard.md` and `index.html`, and return their paths.

    Everything is rendered before the first file is written, and each file is written whole or not at all. Raises `OSError`.
    """
    files = {
        folder / "leaderboard.json": render_json(board),
        folder / "leaderboard-schema.json": render_schema(),
        folder / "leaderboard.md": render_markdown(board),
        folder / "index.html": render_html(board),
    }
    for path, text in files.items():
        write_atomic(path, text)
    return list(files)
