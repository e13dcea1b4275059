"""A marked section of somebody's Markdown file that holds the overall table and is replaced when the board changes."""

from __future__ import annotations

from pathlib import Path

from coterie.leaderboard.board.types import Board
from coterie.leaderboard.display.text import render_overall
from coterie.leaderboard.errors import SectionError
from coterie.tracking.files import write_atomic

BEGIN = "<!-- coterie:leaderboard -->"
END = "<!-- /coterie:leaderboard -->"


def update_section(path: Path, board: Board) -> bool:
    """Replace what stands between the markers and return whether the file changed; all else stays as it is.

    The text holds no date of its making: the same records leave the file untouched. Raises ``SectionError``.
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
            "lines where the table is to stand"
        )
    newline = "\r\n" if "\r\n" in before else "\n"
    table = render_overall(board).strip().replace("<!--", "<! --").replace("\n", newline)  # no name is a marker
    after = before[:start] + newline + table + newline + before[end:]
    if after != before:
        write_atomic(path, after)
    return after != before
