"""`coterie leaderboard`: the board of an output folder, a section of a Markdown file, a web site."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from coterie.benchmark.commands.run import report
from coterie.benchmark.errors import ExitCode, UsageError, exit_on_user_error, writing

if TYPE_CHECKING:
    from coterie.leaderboard.reports.gather import Gathered
    from coterie.tracking.record import Record
    from coterie.tracking.store import Unreadable


def leaderboard_command(output_folder: Path, sources: Sequence[Path] = (), update: Path | None = None) -> ExitCode:
    """Print the board of an output folder and write its files there or, given `sources`, only print theirs.

    Either way, the section of the Markdown file `update` is replaced if it differs.
    """
    from coterie.leaderboard import print_board
    from coterie.leaderboard.display.section import update_section

    with exit_on_user_error():
        if sources:
            board = _gather(sources).board
            print_board(board, Console())
        else:
            board = report(_stored(output_folder), output_folder, Console())
        if update is not None:
            changed = update_section(update, board)
            print(f"{update}: {'updated' if changed else 'up to date'}")
    return ExitCode.OK


def build_command(sources: Sequence[Path], folder: Path) -> ExitCode:
    """Build the web site from any mix of folders."""
    from coterie.leaderboard.display.site import write_site

    with exit_on_user_error():
        gathered = _gather(sources)
        with writing(folder, "another --site"):
            written = write_site(gathered, folder)
    size = sum(path.stat().st_size for path in written)
    pages = sum(path.suffix == ".html" for path in written)
    records = f"{len(gathered.records)} record{'' if len(gathered.records) == 1 else 's'}"
    print(f"{pages} pages from {records}, {size / 1e6:.1f} MB. Open {folder / 'index.html'}")
    return ExitCode.OK


def _gather(sources: Sequence[Path]) -> Gathered:
    """The records of the folders. Raises `UsageError` if there are none."""
    from coterie.leaderboard.reports.gather import gather

    gathered = gather(sources)
    _report_unreadable(gathered.unreadable)
    if not gathered.records:
        folders = ", ".join(map(str, sources))
        raise UsageError(f"{folders}: expected records, got none; fix: coterie run, or other folders with --from")
    return gathered


def _stored(output_folder: Path) -> list[Record]:
    from coterie.tracking.store import RecordStore

    scan = RecordStore(output_folder).scan()
    _report_unreadable(scan.unreadable)
    if not scan.records:
        raise UsageError(
            f"{output_folder}: expected records, got none; fix: coterie run --output-folder {output_folder}"
        )
    return scan.records


def _report_unreadable(files: Sequence[Unreadable]) -> None:
    for unreadable in files:
        print(f"left out: {unreadable}", file=sys.stderr)
