"""`coterie run --explain`: why each cell would be run, from the nearest stored record."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from coterie.benchmark.commands.planning import build_grid, load_included, warn_unranked
from coterie.benchmark.errors import ExitCode, exit_on_user_error
from coterie.tracking.record import Identity, Record

if TYPE_CHECKING:
    from coterie.benchmark.commands.run_options import RunOptions
    from coterie.benchmark.runner.agenda import PlannedCell


@dataclass(frozen=True)
class Explanation:
    """What a run would do with one cell, and why."""

    cell: PlannedCell
    """The cell."""
    verdict: str
    """Whether it would be run or reused, as a phrase."""
    changes: tuple[tuple[str, Any, Any], ...] = ()
    """Name, stored value and wanted value of each part of the identity that differs from the nearest record's."""
    nearest: Record | None = None
    """The record that the cell is compared with."""


def explain_command(options: RunOptions) -> ExitCode:
    """Print cell by cell what would be run and why. Runs and writes nothing."""
    from coterie.benchmark.runner.grid import Run
    from coterie.benchmark.runner.messages import Listener
    from coterie.tracking.store import RecordStore

    console = Console(highlight=False, markup=False)
    with exit_on_user_error():
        included = load_included(options)
        grid = build_grid(options, included)
        warn_unranked(grid)
        store = RecordStore(options.output_folder)
        run = Run(grid, store, Listener())
        scan = store.scan()
    for unreadable in scan.unreadable:
        print(f"left out: {unreadable}", file=sys.stderr)
    for explanation in explain(run.planned, scan.records):
        identity = explanation.cell.identity
        cell = f"{explanation.cell.request.label}, budget {identity.budget}"
        console.print(f"{cell} ({identity.digest()[:12]}) {explanation.verdict}")
        for name, stored, wanted in explanation.changes:
            console.print(f"    {name}: {stored} -> {wanted}")
    console.print(f"{len(run.missing)} of {len(run.planned)} cells would be run.")
    return ExitCode.FAILED if included.broken else ExitCode.OK


def explain(cells: Sequence[PlannedCell], stored: Sequence[Record]) -> list[Explanation]:
    """One explanation per cell.

    The nearest record is of the same method on the same task and has the fewest differences; among equals, it is the latest.
    """
    by_name: dict[tuple[str, str], list[Record]] = {}
    for record in stored:
        by_name.setdefault((record.task_name, record.method_name), []).append(record)
    return [_explain(cell, by_name.get((cell.identity.task_name, cell.identity.method_name), [])) for cell in cells]


def _explain(cell: PlannedCell, candidates: Sequence[Record]) -> Explanation:
    if cell.stored is not None:
        when = f"stored as {cell.stored.status} on {cell.stored.date}"
        return Explanation(cell, f"will be run again: {when}" if cell.missing else f"will be reused: {when}")
    will = "will be run" if cell.missing else "is missing and will not be run (--overwrite-strategy never)"
    if not candidates:
        return Explanation(cell, f"{will}: no record of this method on this task")
    changes, nearest = min(
        ((_changes(record.identity, cell.identity), record) for record in candidates),
        key=lambda pair: (len(pair[0]), -pair[1].when.timestamp()),
    )
    return Explanation(cell, f"{will}: differs from the record of {nearest.date} in", tuple(changes), nearest)


def _changes(stored: Identity, wanted: Identity) -> list[tuple[str, Any, Any]]:
    before, after = _parts(stored), _parts(wanted)
    names = dict.fromkeys([*after, *before])
    pairs = [(name, before.get(name, "(none)"), after.get(name, "(none)")) for name in names]
    return [(name, old, new) for name, old, new in pairs if old != new]


def _parts(identity: Identity) -> dict[str, Any]:
    """The identity's parts by name, with one entry per setting and parameter."""
    plain = identity.model_dump(mode="json")
    settings, parameters = plain.pop("settings"), plain.pop("parameters")
    return {
        **plain,
        **{f"settings.{name}": value for name, value in settings.items()},
        **{f"parameter {name}": value for name, value in parameters.items()},
    }
