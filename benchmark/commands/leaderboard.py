"""``coterie leaderboard``: the board of an output folder, a section of a Markdown file, a site."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from coterie.benchmark.commands.run import report
from coterie.benchmark.errors import UsageError, exit_on_user_error

if TYPE_CHECKING:
    from coterie.leaderboard.board.sources import Gathered
    from coterie.tracking.record import Record
    from coterie.tracking.store import Unreadable


def leaderboard_command(output_folder: Path, sources: Sequence[Path] = (), update: Path | None = None) -> int:
    """Print the board of all records of an output folder and write its files there; of `sources`, print it only.

    A Markdown section is kept up to date with either.
    """
    from coterie.leaderboard import compile_board, print_board
    from coterie.leaderboard.display.section import update_section
    from coterie.leaderboard.errors import SectionError

    with exit_on_user_error():
        if sources:
            board = compile_board(_gathered(sources).records)
            print_board(board, Console())
        else:
            board = report(_stored(output_folder), output_folder, Console())
        if update is not None:
            try:
                changed = update_section(update, board)
            except SectionError as error:
                raise UsageError(str(error)) from None
            print(f"{update}: {'updated' if changed else 'up to date'}")
    return 0


def build_command(sources: Sequence[Path], folder: Path) -> int:
    """Build the site from any mix of folders."""
    from coterie.leaderboard.display.site import write_site
    from coterie.leaderboard.errors import SourceError

    with exit_on_user_error():
        gathered = _gathered(sources)
        try:
            written = write_site(gathered, folder)
        except SourceError as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            raise UsageError(f"{folder}: the site cannot be written: {error}; fix: another --site") from None
    size = sum(path.stat().st_size for path in written)
    pages = sum(path.suffix == ".html" for path in written)
    print(f"{pages} pages from {len(gathered.records)} records, {size / 1e6:.1f} MB. Open {folder / 'index.html'}")
    return 0


def _gathered(sources: Sequence[Path]) -> Gathered:
    """The records of folders, at least one; on stderr what had to be left out. Raises ``UsageError``."""
    from coterie.leaderboard.board.sources import gather
    from coterie.leaderboard.errors import SourceError

    try:
        gathered = gather(sources)
    except SourceError as error:
        raise UsageError(str(error)) from None
    _told(gathered.unreadable)
    if not gathered.records:
        named = ", ".join(str(source) for source in sources)
        raise UsageError(f"{named}: no records there; fix: coterie run, or name other folders with --from")
    return gathered


def _stored(output_folder: Path) -> list[Record]:
    from coterie.tracking.store import RecordStore

    scan = RecordStore(output_folder).scan()
    _told(scan.unreadable)
    if not scan.records:
        raise UsageError(f"{output_folder}: no records there; fix: coterie run --output-folder {output_folder}")
    return scan.records


def _told(left_out: Sequence[Unreadable]) -> None:
    for unreadable in left_out:
        print(f"left out: {unreadable}", file=sys.stderr)
