"""``coterie leaderboard``: the board of an output folder, a section of a Markdown file, a site."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from coterie.benchmark.commands import report
from coterie.benchmark.errors import UsageError, told_in_one_line


def leaderboard_command(output_folder: Path, update: Path | None = None) -> int:
    """Print the board of all records of an output folder and write its files; keep a Markdown section up to date."""
    from coterie.leaderboard.section import SectionError, update_section
    from coterie.tracking.store import RecordStore

    with told_in_one_line():
        scan = RecordStore(output_folder).scan()
        for unreadable in scan.unreadable:
            print(f"left out: {unreadable}", file=sys.stderr)
        if not scan.records:
            raise UsageError(f"{output_folder}: no records there; fix: coterie run --output-folder {output_folder}")
        board = report(scan.records, output_folder, Console())
        if update is not None:
            try:
                changed = update_section(update, board)
            except SectionError as error:
                raise UsageError(str(error)) from None
            print(f"{update}: {'updated' if changed else 'up to date'}")
    return 0


def build_command(sources: Sequence[Path], folder: Path) -> int:
    """Build the site from any mix of folders."""
    from coterie.leaderboard.site import write_site
    from coterie.leaderboard.sources import SourceError, gather

    with told_in_one_line():
        try:
            gathered = gather(sources)
            for unreadable in gathered.unreadable:
                print(f"left out: {unreadable}", file=sys.stderr)
            if not gathered.records:
                named = ", ".join(str(source) for source in sources)
                raise UsageError(f"{named}: no records there; fix: coterie run, or name other folders with --from")
            written = write_site(gathered, folder)
        except SourceError as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            raise UsageError(f"{folder}: the site cannot be written: {error}; fix: another --site") from None
    size = sum(path.stat().st_size for path in written)
    pages = sum(path.suffix == ".html" for path in written)
    print(f"{pages} pages from {len(gathered.records)} records, {size / 1e6:.1f} MB. Open {folder / 'index.html'}")
    return 0
