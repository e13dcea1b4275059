"""The agenda of a run: its planned cells, handed out to workers and shared with other runs on the same folder."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from coterie.benchmark.runner.cell_locks import CellLocks
from coterie.benchmark.runner.messages import CellRequest, Finished
from coterie.tracking.record import Identity, Record
from coterie.tracking.store import RecordStore

_RETRY_SECONDS = 0.5  # between two attempts to take cells that other runs hold


@dataclass(frozen=True)
class PlannedCell:
    """A cell of the grid before the run."""

    request: CellRequest
    """What a worker would be sent."""
    stored: Record | None
    """Its record in the store, if there is one."""
    missing: bool
    """Whether it has to run."""

    @property
    def identity(self) -> Identity:
        """Everything that determines its result."""
        return self.request.identity


class RunAgenda:
    """Hands out the missing cells of a run. Methods may be called from any thread."""

    def __init__(self, cells: Sequence[PlannedCell], store: RecordStore) -> None:
        self._cells, self._store, self._cell_locks = list(cells), store, CellLocks(store.root)
        self._workers: Counter[str] = Counter()  # by task: how often a worker switched to it
        self._guard, self._closed = threading.Lock(), threading.Event()

    @property
    def empty(self) -> bool:
        """Whether all cells have been handed out."""
        return not self._cells

    def take(self, task: str | None, wait: bool = True) -> CellRequest | Finished | None:
        """A cell of the worker's current task if one is left, else of the task with the fewest workers.

        See `Agenda.take`, which this implements.
        """
        while not self._closed.is_set():
            with self._guard:
                taken = self._next(task)
                if taken is not None or not self._cells or not wait:
                    return taken
            self._closed.wait(_RETRY_SECONDS)
        return None

    def _next(self, task: str | None) -> CellRequest | Finished | None:
        def rank(cell: PlannedCell) -> tuple[bool, int]:
            fingerprint = cell.identity.task_fingerprint
            return fingerprint != task, self._workers[fingerprint]

        for cell in sorted(self._cells, key=rank):
            if not self._cell_locks.acquire(cell.identity):
                continue
            self._cells.remove(cell)
            now = self._store.find(cell.identity)
            if now is not None and now != cell.stored:
                return Finished(record=now, elsewhere=True)
            if cell.identity.task_fingerprint != task:
                self._workers[cell.identity.task_fingerprint] += 1
            return cell.request
        return None

    def await_others(self, identity: Identity) -> None:
        """Wait while another run holds this cell: it has stored the record, but may still be logging it."""
        while self._cell_locks.held_elsewhere(identity) and not self._closed.wait(_RETRY_SECONDS / 10):
            pass

    def release(self, identity: Identity) -> None:
        """Let other runs have the cell: it is stored and logged, or will not be run."""
        self._cell_locks.release(identity)

    def close(self) -> None:
        """Stop handing out cells and release all of them."""
        self._closed.set()
        self._cell_locks.close()
