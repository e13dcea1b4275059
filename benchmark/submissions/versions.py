"""Whether all records are of one version: one method, run with one protocol and one coterie on one set of texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from coterie.tracking.record import Record

_OF_IDENTITY = ("method_name", "parameters", "code_hash", "budget", "protocol", "settings")


@dataclass(frozen=True)
class Difference:
    """A field that must be equal in all records and is not."""

    field: str
    """Name of the field; fields of a task also name the task."""
    first: object
    """Its value in the first record."""
    first_label: str
    """Label of the first record."""
    value: object
    """Its value in the record that differs."""
    label: str
    """Label of the record that differs."""


def version_differences(labelled: Iterable[tuple[str, Record]]) -> Iterator[Difference]:
    """Every field in which a record differs from the first one. Records come as (label, record)."""
    first: dict[str, tuple[object, str]] = {}
    for label, record in labelled:
        for field, value in _version(record).items():
            expected, first_label = first.setdefault(field, (value, label))
            if value != expected:
                yield Difference(field, expected, first_label, value, label)


def _version(record: Record) -> dict[str, object]:
    task = record.task_name
    return {
        **{name: getattr(record.identity, name) for name in _OF_IDENTITY},
        f"dataset_revision of {task}": record.task.dataset_revision,
        f"fingerprint of {task}": record.identity.task_fingerprint,
        "coterie_version": record.environment.coterie_version,
    }
