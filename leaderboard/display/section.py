"""The overall table in a marked section of a user's Markdown file, updated when the board changes."""

from __future__ import annotations

from pathlib import Path

from coterie.leaderboard.board.types import Board
from coterie.leaderboard.display.text import render_overall
from coterie.leaderboard.errors import SectionError
from coterie.tracking.files import write_atomic

BEGIN = "<!-- coterie:leaderboard -->"
END = "<!-- /coterie:leaderboard -->"


def update_section(path: Path, board: Board) -> bool:
    """Replace the text between the markers, nothing else, and return whether the file changed.

    The text has no date of creation: the same records leave the file untouched. Raises `SectionError`.
    """
    try:
        before = path.read_bytes().decode("utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise SectionError(
            f"{path}: expected a Markdown file, got: {error}; fix: name a file with the markers"
        ) from None
    counts = before.count(BEGIN), before.count(END)
    start, end = before.find(BEGIN) + len(BEGIN), before.find(END)
    if counts != (1, 1) or end < start:
        raise SectionError(
            f"{path}: expected {BEGIN} once and {END} once after it, got {counts[0]} and {counts[1]}; fix: put both "
            "lines where the table belongs"
        )
    newline = "\r\n" if "\r\n" in before else "\n"
    table = render_overall(board).strip().replace("<!--", "<! --").replace("\n", newline)  # no name can be a marker
    after = before[:start] + newline + table + newline + before[end:]
    if after != before:
        write_atomic(path, after)
    return after != before
