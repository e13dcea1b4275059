"""Why a cell would be run: which parts of its identity differ from those of the nearest stored record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coterie.benchmark.runner.grid import Cell
from coterie.tracking.record import Identity, Record


@dataclass(frozen=True)
class Explanation:
    """What will become of a cell; ``changes`` are name, stored value, wanted value."""

    cell: Cell
    verdict: str
    changes: tuple[tuple[str, Any, Any], ...] = ()
    nearest: Record | None = None


def explain(cells: Sequence[Cell], stored: Sequence[Record]) -> list[Explanation]:
    """One explanation a cell. The nearest record is one of the same method on the same task with the fewest differences,
    of those the latest.
    """
    by_name: dict[tuple[str, str], list[Record]] = {}
    for record in stored:
        by_name.setdefault((record.task_name, record.method_name), []).append(record)
    return [_explained(cell, by_name.get((cell.identity.task_name, cell.identity.method_name), [])) for cell in cells]


def _explained(cell: Cell, candidates: Sequence[Record]) -> Explanation:
    if cell.stored is not None:
        when = f"stored as {cell.stored.status} on {cell.stored.date}"
        return Explanation(cell, f"will be run again: {when}" if cell.missing else f"will be reused: {when}")
    will = "will be run" if cell.missing else "is missing and will not be run (--overwrite-strategy never)"
    if not candidates:
        return Explanation(cell, f"{will}: no record of this method on this task")
    nearest = min(
        candidates, key=lambda record: (len(_changes(record.identity, cell.identity)), -record.when.timestamp())
    )
    changes = _changes(nearest.identity, cell.identity)
    return Explanation(cell, f"{will}: differs from the record of {nearest.date} in", tuple(changes), nearest)


def _changes(stored: Identity, wanted: Identity) -> list[tuple[str, Any, Any]]:
    before, after = parts(stored), parts(wanted)
    missing = "(none)"
    names = list(dict.fromkeys([*after, *before]))
    return [
        (name, before.get(name, missing), after.get(name, missing))
        for name in names
        if before.get(name, missing) != after.get(name, missing)
    ]


def parts(identity: Identity) -> dict[str, Any]:
    """The identity's components by name, settings and parameters one by one."""
    plain = identity.model_dump(mode="json")
    settings, parameters = plain.pop("settings"), plain.pop("parameters")
    return {
        **plain,
        **{f"settings.{name}": value for name, value in settings.items()},
        **{f"parameter {name}": value for name, value in parameters.items()},
    }
