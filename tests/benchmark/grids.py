"""Run a grid in a test."""

from __future__ import annotations

from collections.abc import Iterator

from coterie.benchmark.runner.grid import Grid, Run, make_executor
from coterie.benchmark.runner.messages import Listener
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore


def run_grid(grid: Grid, store: RecordStore, listener: Listener | None = None) -> Iterator[tuple[Record, bool]]:
    """Yield each cell's record and whether it was finished before."""
    run = Run(grid, store, listener or Listener())
    with make_executor(run) as executor:
        yield from run.cells(executor)
