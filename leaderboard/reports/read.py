"""Reports that lie beside records: ``KIND/NAME/KIND.json``, as the commands write them. They may come from anybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from coterie.leaderboard.entries.hostile import read_text, strict_json
from coterie.leaderboard.errors import HostileError
from coterie.leaderboard.reports.card import Inspection
from coterie.leaderboard.reports.fidelity import FidelityReport
from coterie.leaderboard.reports.transitions import TransitionsReport
from coterie.tracking.store import Unreadable, explain_invalid

Report = TransitionsReport | Inspection | FidelityReport
KINDS: Final[dict[str, type[Report]]] = {
    "transitions": TransitionsReport,
    "inspect": Inspection,
    "fidelity": FidelityReport,
}
FILES: Final = frozenset(f"{kind}.json" for kind in KINDS)
LARGEST = 16 * 2**20  # bytes: eight cards have some 0.5 MB
MOST_LISTS = 300_000  # and objects: a card's tokens are objects
MOST_REPORTS = 500  # of one folder


def read_reports(folder: Path) -> Iterator[tuple[Path, Report] | Unreadable]:
    """Every report of an output folder, or why it is none. Nothing raises; no link is followed."""
    for number, path in enumerate(_files(folder)):
        if number >= MOST_REPORTS:
            yield Unreadable(path, f"more than {MOST_REPORTS} reports in {folder}")
            return
        found = read_report(folder, path)
        yield found if isinstance(found, Unreadable) else (path, found)


def read_report(folder: Path, path: Path) -> Report | Unreadable:
    """The report in ``folder``'s file ``path``, whose name says of which kind it is."""
    links = [part for part in (path, *path.parents) if part.is_relative_to(folder) and part != folder]
    if any(part.is_symlink() for part in links):
        return Unreadable(path, "a symbolic link, which is not followed")
    try:
        value = strict_json(read_text(folder, str(path.relative_to(folder)), LARGEST), MOST_LISTS)
        return KINDS[path.stem].model_validate(value)
    except HostileError as error:
        return Unreadable(path, str(error))
    except ValidationError as error:
        return Unreadable(path, explain_invalid(error).replace("a valid record", f"a valid report of {path.stem}"))


def _files(folder: Path) -> Iterator[Path]:
    for kind in KINDS:
        yield from sorted(folder.glob(f"{kind}/*/{kind}.json"))
