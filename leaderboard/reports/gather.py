"""Everything that a board and its pages are made of, gathered once from folders and passed on as one value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from coterie.leaderboard.board.editions import Labelled, label_records
from coterie.leaderboard.board.table import compile_labelled
from coterie.leaderboard.board.types import Board
from coterie.leaderboard.entries.folders import Files, read_folders
from coterie.leaderboard.entries.proof import Proof
from coterie.leaderboard.entries.submitted import Submitted
from coterie.leaderboard.reports.attach import Reports, attach
from coterie.leaderboard.reports.read import Report, read_report, read_reports
from coterie.tracking.record import Record
from coterie.tracking.store import Unreadable


@dataclass(frozen=True)
class Gathered:
    """The content of folders, with every report at its place."""

    records: Sequence[Record]
    """Every readable record."""

    submissions: Sequence[Submitted] = ()
    """Submissions with card and manifest."""

    verified: Mapping[str, Proof] = field(default_factory=dict)
    """Digest of a record's identity -> the proof that covers the record."""

    found_reports: Sequence[tuple[Path, Report]] = ()
    """(file, report) of every readable report, whether it fits the board or not."""

    left_out: Sequence[Unreadable] = ()
    """Files that could not be read, with the reason."""

    @cached_property
    def labelled(self) -> Labelled:
        """The records that the board counts, with the labels of their entries."""
        return label_records(self.records)

    @property
    def reports(self) -> Reports:
        """The reports about what the board shows."""
        return self._attached[0]

    @property
    def unreadable(self) -> list[Unreadable]:
        """Files that could not be read and reports that do not fit the board, with the reason."""
        return [*self.left_out, *self._attached[1]]

    @cached_property
    def _attached(self) -> tuple[Reports, list[Unreadable]]:
        return attach(self.found_reports, self.labelled.pairs if self.found_reports else [])

    @cached_property
    def board(self) -> Board:
        """The compiled board. Raises `ValueError` without records."""
        return compile_labelled(self.labelled)

    @cached_property
    def badges(self) -> dict[str, str]:
        """Entry -> text of its badge, for entries whose records on the board are all verified."""
        found: dict[str, list[Proof | None]] = {}
        for entry, record in self.labelled.pairs:
            found.setdefault(entry, []).append(self.verified.get(record.identity_digest))
        complete = {entry: [proof for proof in proofs if proof] for entry, proofs in found.items() if all(proofs)}
        return {entry: min(proofs, key=lambda proof: proof.date).text for entry, proofs in complete.items()}


def gather(folders: Iterable[Path]) -> Gathered:
    """Read records, submissions and reports below the folders (see `read_folders`). Raises `SourceError`.

    Reports (transitions, cards of coalitions, fidelity of affinities) are found next to `records/` and count if they fit a
    record that the board shows.
    """
    files = read_folders(folders)
    readable, left_out = list[tuple[Path, Report]](), list(files.unreadable)
    for found in _reports(files):
        left_out.append(found) if isinstance(found, Unreadable) else readable.append(found)
    return Gathered(files.records, files.submissions, files.verified, readable, left_out)


def _reports(files: Files) -> Iterator[tuple[Path, Report] | Unreadable]:
    for folder in files.output_folders:
        yield from read_reports(folder)
    for folder, path in files.reports:
        report = read_report(folder, path)
        yield report if isinstance(report, Unreadable) else (path, report)
