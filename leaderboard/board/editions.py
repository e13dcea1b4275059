"""Which records a board counts, and the label of the entry that each belongs to."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain, count
from typing import NamedTuple

from coterie.leaderboard.entries.identity import MethodKey
from coterie.tracking.record import Record


class EntryKey(NamedTuple):
    """What makes records seeds of the same entry. Protocol and settings are equal within a task's edition."""

    method: MethodKey
    """The method with its parameters and budget."""

    code_hash: str
    """Hash of the method's code."""

    @classmethod
    def of(cls, record: Record) -> EntryKey:
        """The key of the entry that a record belongs to."""
        return cls(MethodKey.of(record), record.identity.code_hash)


@dataclass(frozen=True)
class Edition:
    """The records of one task that may share a table."""

    records: list[Record]
    """Those with the newest record's data, model, protocol and settings; only the newest of each cell."""

    notes: list[str]
    """How many records were left out, and how they differ."""


@dataclass(frozen=True)
class Labelled:
    """The records that a board counts, and the labels of their entries. Selected once, then passed on."""

    editions: dict[str, Edition]
    """Task name -> its edition on the board, by name."""

    labels: dict[EntryKey, str]
    """Entry -> its label, unique on the board."""

    @property
    def records(self) -> list[Record]:
        """All records of all editions."""
        return [record for edition in self.editions.values() for record in edition.records]

    @cached_property
    def pairs(self) -> list[tuple[str, Record]]:
        """(entry label, record) of every record, by task, label and seed."""
        placed = [(self.label(record), record) for record in self.records]
        return sorted(placed, key=lambda pair: (pair[1].task_name, pair[0], pair[1].seed))

    def label(self, record: Record) -> str:
        """The label of the entry that a record belongs to."""
        return self.labels[EntryKey.of(record)]


def label_records(records: Iterable[Record]) -> Labelled:
    """Select the records that count (the newest of each cell, in the newest edition of each task) and label their entries."""
    newest = {(record.identity_digest, record.task.dataset_revision): record for record in sorted(records, key=age)}
    by_task = defaultdict(list)
    for record in sorted(newest.values(), key=age):
        by_task[record.task_name].append(record)
    editions = {task: _newest_edition(found) for task, found in sorted(by_task.items())}
    return Labelled(editions, _labels([record for edition in editions.values() for record in edition.records]))


def age(record: Record) -> tuple[datetime, str, bool]:
    """Sort key: oldest first, and records of the same second in the same order every time."""
    return record.when, record.identity_digest, record.status == "ok"


class _Version(NamedTuple):
    """What must be equal for two numbers of one task to share a table."""

    task_fingerprint: str
    dataset_revision: str
    protocol: str
    settings: str

    @classmethod
    def of(cls, record: Record) -> _Version:
        identity = record.identity
        settings = json.dumps(identity.settings, sort_keys=True)
        return cls(identity.task_fingerprint, record.task.dataset_revision, identity.protocol, settings)

    def differences(self, current: _Version) -> str:
        """How this version differs from the one on the board, as a phrase."""
        parts = []
        if self.protocol != current.protocol:
            parts.append(f"protocol {self.protocol} instead of {current.protocol}")
        if self.dataset_revision != current.dataset_revision:
            parts.append(f"data {self.dataset_revision} instead of {current.dataset_revision}")
        if self.settings != current.settings:
            parts.append(f"settings {self.settings} instead of {current.settings}")
        if self.task_fingerprint != current.task_fingerprint:
            parts.append(f"task fingerprint {self.task_fingerprint[:12]} instead of {current.task_fingerprint[:12]}")
        return ", ".join(parts)


def _newest_edition(records: Sequence[Record]) -> Edition:
    """The edition of the last record, with a note for each other edition. `records` are those of one task, oldest first."""
    groups: dict[_Version, list[Record]] = defaultdict(list)
    for record in records:
        groups[_Version.of(record)].append(record)
    current = _Version.of(records[-1])
    notes = [
        f"{len(found)} older record{'s are' if len(found) > 1 else ' is'} left out: {version.differences(current)}"
        for version, found in groups.items()
        if version != current
    ]
    return Edition(groups[current], notes)


def _labels(records: Sequence[Record]) -> dict[EntryKey, str]:
    """A unique label per entry: its selector, and what distinguishes it from others with the same selector."""
    selectors = {EntryKey.of(record): record.method.selector for record in records}
    shared = defaultdict(list)
    for key, selector in selectors.items():
        shared[selector].append(key)
    labels: dict[EntryKey, str] = {}
    for selector, keys in shared.items():
        for key in keys:
            parts = [f"budget {key.method.budget:,}"] if len({k.method.budget for k in keys}) > 1 else []
            parts += [f"code {key.code_hash[:7]}"] if len({k.code_hash for k in keys}) > 1 else []
            parts += [f"parameters {key.method.parameters}"] if len({k.method.parameters for k in keys}) > 1 else []
            parts += [f"method {key.method.method_name}"] if len({k.method.method_name for k in keys}) > 1 else []
            label = f"{selector} ({', '.join(parts)})" if parts else selector
            labels[key] = _unused(label, labels.values())
    return labels


def _unused(label: str, taken: Collection[str]) -> str:
    """The label, numbered if another entry has it: shortened code hashes may collide."""
    names = chain([label], (f"{label} #{n}" for n in count(2)))
    return next(name for name in names if name not in taken)
