"""Reports next to records, `KIND/NAME/KIND.json`, as the commands write them. Anybody may have written them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from coterie.leaderboard.entries.folders import REPORT_KINDS
from coterie.leaderboard.entries.hostile import read_text, strict_json
from coterie.leaderboard.errors import HostileError
from coterie.leaderboard.reports.card import Inspection
from coterie.leaderboard.reports.fidelity import FidelityReport
from coterie.leaderboard.reports.transitions import TransitionsReport
from coterie.tracking.store import Unreadable
from coterie.tracking.text import explain_invalid

Report = TransitionsReport | Inspection | FidelityReport
KINDS: Final[dict[str, type[Report]]] = dict(
    zip(REPORT_KINDS, (TransitionsReport, Inspection, FidelityReport), strict=True)
)
LARGEST = 16 * 2**20  # bytes; eight cards have about 0.5 MB
MOST_LISTS = 300_000  # lists and objects; a card's tokens are objects
MOST_REPORTS = 500  # per folder


def read_reports(folder: Path) -> Iterator[tuple[Path, Report] | Unreadable]:
    """Every report of an output folder, or why it is not valid. Raises nothing and follows no link."""
    for number, path in enumerate(_files(folder)):
        if number >= MOST_REPORTS:
            yield Unreadable(path, f"more than {MOST_REPORTS} reports in {folder}")
            return
        found = read_report(folder, path)
        yield found if isinstance(found, Unreadable) else (path, found)


def read_report(folder: Path, path: Path) -> Report | Unreadable:
    """The report in the file `path` of `folder`, whose name determines its kind, or why it is not valid."""
    links = [part for part in (path, *path.parents) if part.is_relative_to(folder) and part != folder]
    if any(part.is_symlink() for part in links):
        return Unreadable(path, "a symbolic link, which is not followed")
    try:
        value = strict_json(read_text(folder, str(path.relative_to(folder)), LARGEST), MOST_LISTS)
        return KINDS[path.stem].model_validate(value)
    except HostileError as error:
        return Unreadable(path, str(error))
    except ValidationError as error:
        return Unreadable(path, explain_invalid(error, f"report of {path.stem}"))


def _files(folder: Path) -> Iterator[Path]:
    for kind in KINDS:
        yield from sorted(folder.glob(f"{kind}/*/{kind}.json"))
