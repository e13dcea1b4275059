"""Which report belongs to which entry, record or task of a board, and why a report belongs to none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from coterie.leaderboard.reports.card import Card, Inspection
from coterie.leaderboard.reports.fidelity import FidelityReport
from coterie.leaderboard.reports.read import Report
from coterie.leaderboard.reports.transitions import TransitionsReport
from coterie.tracking.record import Record
from coterie.tracking.store import Unreadable

R = TypeVar("R")
Pairs = Sequence[tuple[str, Record]]  # (entry label, record) of every record on a board


class _MisfitError(ValueError):
    """A report about something that the board does not show."""


@dataclass
class Reports:
    """Reports by their subject. They are not verified."""

    transitions: dict[str, list[TransitionsReport]] = field(default_factory=dict)
    """Label of an entry -> what becomes of its coalitions across layers."""

    inspections: dict[str, list[Inspection]] = field(default_factory=dict)
    """Digest of a record's identity -> cards of its coalitions."""

    fidelity: dict[str, list[FidelityReport]] = field(default_factory=dict)
    """Name of a task -> how well affinities rank its pairs of neurons."""

    def across(self, entry: str, fingerprint: str | None = None) -> list[TransitionsReport]:
        """The entry's reports across layers; with a task's fingerprint, those that include this task."""
        own = self.transitions.get(entry, [])
        return [report for report in own if fingerprint is None or fingerprint in report.task_fingerprints]

    def plain(self) -> Iterator[TransitionsReport | FidelityReport]:
        """The reports without a separate page."""
        yield from (report for found in self.transitions.values() for report in found)
        yield from (report for found in self.fidelity.values() for report in found)

    def cards(self, record: Record) -> dict[int, tuple[Inspection, Card]]:
        """Number of a coalition of the record -> its card, and the inspection that the card is from."""
        found = self.inspections.get(record.identity_digest, [])
        return {card.number: (inspection, card) for inspection in found for card in inspection.cards}


def attach(found: Iterable[tuple[Path, Report]], pairs: Pairs) -> tuple[Reports, list[Unreadable]]:
    """Put every report in its place, and also return the reports that fit nothing. Coalitions must match their record's."""
    reports, left_out = Reports(), list[Unreadable]()
    for path, report in found:
        try:
            if isinstance(report, TransitionsReport):
                _add(reports.transitions, _entry_of(report, pairs), report)
            elif isinstance(report, Inspection):
                _add(reports.inspections, _record_of(report, pairs), report)
            else:
                _add(reports.fidelity, _task_of(report, pairs), report)
        except _MisfitError as error:
            left_out.append(Unreadable(path, str(error)))
    for rows in reports.transitions.values():
        rows.sort(key=lambda r: (r.task_name, r.seed, r.layers[0].layer, len(r.layers), r.all_pairs))
    return reports, left_out


def _add(into: dict[str, list[R]], key: str, report: R) -> None:
    known = into.setdefault(key, [])
    if report not in known:  # a folder may be named twice
        known.append(report)


def _entry_of(report: TransitionsReport, pairs: Pairs) -> str:
    of = report.method, report.code_hash, report.budget
    entries = {e for e, r in pairs if (r.method.selector, r.identity.code_hash, r.identity.budget) == of}
    if len(entries) != 1:
        raise _MisfitError(f"the board has no single entry {report.method[:60]!r} with this code and budget")
    [entry] = entries
    layers = dict(zip(report.task_fingerprints, report.layers, strict=True))
    for label, record in pairs:
        layer = layers.get(record.identity.task_fingerprint)
        if label == entry and layer is not None and record.seed == report.seed:
            _check_coalitions(record, ((c.number, c.members) for c in layer.coalitions))
    return entry


def _record_of(report: Inspection, pairs: Pairs) -> str:
    record = next((r for _, r in pairs if r.identity_digest == report.record), None)
    if record is None:
        raise _MisfitError(f"the board shows no record {report.record[:16]!r}")
    claimed = report.task_name, report.task_fingerprint, report.method, report.seed
    if claimed != (record.task_name, record.identity.task_fingerprint, record.method.selector, record.seed):
        raise _MisfitError(f"its task, method or seed is not that of record {report.record[:16]}")
    _check_coalitions(record, ((card.number, card.members) for card in report.cards))
    return record.identity_digest


def _task_of(report: FidelityReport, pairs: Pairs) -> str:
    if (report.task_name, report.task_fingerprint) not in {
        (r.task_name, r.identity.task_fingerprint) for _, r in pairs
    }:
        raise _MisfitError(f"the board shows no task {report.task_name[:60]!r} with this fingerprint")
    return report.task_name


def _check_coalitions(record: Record, coalitions: Iterable[tuple[int, list[int]]]) -> None:
    groups = record.coalitions.groups if record.coalitions else []
    for number, members in coalitions:
        if number >= len(groups) or sorted(groups[number]) != sorted(members):
            raise _MisfitError(f"its coalition {number} differs from that of record {record.identity_digest[:16]}")
