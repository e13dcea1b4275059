"""The grid: task x method x budget x seed. Finished cells are reused, the others go to an executor, each one record.

::

    run = Run(grid, store, listener)              # plans: the identity of every cell, and what is stored
    with make_executor(grid) as executor:
        for record, reused in run.cells(executor):
            ...

The one process that does so writes all records; workers hand theirs over.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from coterie.benchmark.protocol.settings import PROTOCOL, Settings
from coterie.benchmark.runner.cell_locks import Claims
from coterie.benchmark.runner.executors import Executor, Found, Limits
from coterie.benchmark.runner.loading import AnyPlan, AnySpec, plan_task
from coterie.benchmark.runner.messages import Listener, NotRun, Order
from coterie.methods.base import Method
from coterie.methods.identity import code_hash
from coterie.tasks.planted.task import PlantedSpec
from coterie.tracking.record import Identity, MethodInfo, Record
from coterie.tracking.store import RecordStore

Overwrite = Literal["only-missing", "always", "never"]
ExecutorName = Literal["local", "ray", "inline"]

BROKEN = ("failed", "timeout")
_BUSY_SECONDS = 0.5  # between two looks at cells that another run has


@dataclass(frozen=True)
class Grid:
    """What is to be run, and how."""

    tasks: Sequence[AnySpec]
    methods: Sequence[Method]
    seeds: Sequence[int]
    budgets: Sequence[int]
    settings: Settings
    overwrite: Overwrite = "only-missing"
    retry_failed: bool = False
    fail_fast: bool = False
    device: str = "cpu"
    include: Sequence[Path] = ()
    n_jobs: int | None = None  # None: 1, or on Ray what the cluster holds
    executor: ExecutorName = "local"
    address: str | None = None  # of the Ray cluster
    limits: Limits = field(default_factory=Limits)

    @property
    def n_cells(self) -> int:
        return len(self.tasks) * len(self.methods) * len(self.budgets) * len(self.seeds)


@dataclass(frozen=True)
class Cell:
    """A cell as it is planned: what there is of it in the store, and whether it has to be run."""

    order: Order
    stored: Record | None
    missing: bool

    @property
    def identity(self) -> Identity:
        return self.order.identity


class Run:
    """One pass over a grid. ``planned`` are its cells in order; ``not_run`` those that could not be, with the reasons."""

    def __init__(self, grid: Grid, store: RecordStore, listener: Listener) -> None:
        self.grid, self.not_run = grid, list[NotRun]()
        self._store, self._listener = store, listener
        self.planned = [self._planned(order) for order in orders_of(grid, listener)]
        missing = sum(cell.missing for cell in self.planned)
        listener.planned({"finished": len(self.planned) - missing, "missing": missing})

    @property
    def missing(self) -> list[Cell]:
        """The cells that have to be run."""
        return [cell for cell in self.planned if cell.missing]

    def cells(self, executor: Executor) -> Iterator[tuple[Record, bool]]:
        """Yield every cell's record and whether it was finished before; new ones are on disk before they are yielded.

        A cell that fails, crashes or runs out of time becomes a record that says so; the others go on (unless
        ``fail_fast``). Until the next one is asked for, other runs wait for the cell: what is done with it is done once.
        """
        agenda = RunAgenda(self.missing, self._store, Claims(self._store.root))
        try:
            for cell in self.planned:
                if not cell.missing and cell.stored is not None:
                    agenda.await_others(cell.identity)
                    self._listener.cell(cell.stored, reused=True)
                    yield cell.stored, True
            if not agenda.empty:
                yield from self._run(executor, agenda)
        finally:
            agenda.close()

    def _run(self, executor: Executor, agenda: RunAgenda) -> Iterator[tuple[Record, bool]]:
        for outcome in executor.run(agenda, self._listener):
            if isinstance(outcome, NotRun):
                self.not_run.append(outcome)
                self._listener.not_run(outcome)
                agenda.release(outcome.identity)
                broken = True
            else:
                found = isinstance(outcome, Found)
                record = outcome.record if isinstance(outcome, Found) else outcome
                if not found:
                    record = self._store.dated(record)
                    self._store.write(record)
                self._listener.cell(record, reused=found)
                yield record, found
                agenda.release(record.identity)
                broken = record.status in BROKEN
            if broken and self.grid.fail_fast:
                return

    def _planned(self, order: Order) -> Cell:
        stored, grid = self._store.find(order.identity), self.grid
        again = grid.overwrite == "always" or (
            stored is not None and grid.retry_failed and stored.status in BROKEN and grid.overwrite != "never"
        )
        return Cell(order, stored, missing=again or (stored is None and grid.overwrite != "never"))


class RunAgenda:
    """The cells that are still to be run, handed out to whoever asks, from any thread."""

    def __init__(self, cells: Sequence[Cell], store: RecordStore, claims: Claims) -> None:
        self._cells, self._store, self._claims = list(cells), store, claims
        self._workers: Counter[str] = Counter()  # by task: how often it was taken by a worker that had another one
        self._lock, self._closed = threading.Lock(), threading.Event()

    @property
    def empty(self) -> bool:
        return not self._cells

    def take(self, task: str | None, wait: bool = True) -> Order | Found | None:
        """A cell of the worker's own task where there is one, else of the task with the fewest workers."""
        while not self._closed.is_set():
            with self._lock:
                taken = self._next(task)
                if taken is not None or not self._cells or not wait:
                    return taken
            self._closed.wait(_BUSY_SECONDS)
        return None

    def _next(self, task: str | None) -> Order | Found | None:
        def rank(cell: Cell) -> tuple[bool, int]:
            fingerprint = cell.identity.task_fingerprint
            return fingerprint != task, self._workers[fingerprint]

        for cell in sorted(self._cells, key=rank):
            if not self._claims.take(cell.identity):
                continue
            self._cells.remove(cell)
            now = self._store.find(cell.identity)
            if now is not None and now != cell.stored:
                return Found(now)
            if cell.identity.task_fingerprint != task:
                self._workers[cell.identity.task_fingerprint] += 1
            return cell.order
        return None

    def await_others(self, identity: Identity) -> None:
        """Wait while another run is at this cell, which it has stored, but perhaps not yet logged."""
        while self._claims.busy(identity) and not self._closed.wait(_BUSY_SECONDS / 10):
            pass

    def release(self, identity: Identity) -> None:
        """All is done with the cell."""
        self._claims.release(identity)

    def close(self) -> None:
        """Hand out nothing any more."""
        self._closed.set()
        self._claims.close()


def run_grid(grid: Grid, store: RecordStore, listener: Listener) -> Iterator[tuple[Record, bool]]:
    """Yield the record of every cell and whether it was finished before. See :meth:`Run.cells`."""
    run = Run(grid, store, listener)
    with make_executor(run) as executor:
        yield from run.cells(executor)


@contextlib.contextmanager
def make_executor(run: Run) -> Iterator[Executor]:
    """The executor that the grid names, with workers for what has to be run; on leaving they are killed."""
    grid, missing = run.grid, run.missing
    made: Executor
    if grid.executor == "ray" and missing:
        from coterie.benchmark.runner.executors.ray import RayExecutor

        made = RayExecutor(grid.n_jobs, grid.limits, grid.device, grid.address)
    elif grid.executor == "inline" or not missing:
        from coterie.benchmark.runner.executors.inline import InlineExecutor

        made = InlineExecutor()
    else:
        from coterie.benchmark.runner.executors.local import LocalExecutor

        made = LocalExecutor(min(grid.n_jobs or 1, len(missing)), grid.limits)
    with made as executor:
        yield executor


def orders_of(grid: Grid, listener: Listener) -> Iterator[Order]:
    """All cells of the grid, task by task. The texts of a task are read, no model is loaded."""
    hashes = {type(method): code_hash(type(method)) for method in grid.methods}
    for spec in grid.tasks:
        listener.step(f"{spec.name}: reading texts")
        started = time.perf_counter()
        plan = plan_task(spec)
        fingerprint, values = plan.fingerprint, spec.model_dump(mode="json")
        listener.spent("loading", time.perf_counter() - started)
        for method in grid.methods:
            for budget in grid.budgets:
                for seed in grid.seeds:
                    yield Order(
                        identity=_identity(
                            plan, fingerprint, method, hashes[type(method)], budget, seed, grid.settings
                        ),
                        method=_method_info(method),
                        task=values,
                        planted=isinstance(spec, PlantedSpec),
                        device=grid.device,
                        include=tuple(str(path.resolve()) for path in grid.include),
                    )


def _identity(
    plan: AnyPlan, fingerprint: str, method: Method, code: str, budget: int, seed: int, settings: Settings
) -> Identity:
    """Everything that determines the cell's result."""
    return Identity(
        protocol=PROTOCOL,
        settings=settings.model_dump(mode="json"),
        task_name=plan.name,
        task_fingerprint=fingerprint,
        method_name=method.name,
        parameters=method.parameters,
        code_hash=code,
        budget=budget,
        seed=seed,
    )


def _method_info(method: Method) -> MethodInfo:
    return MethodInfo(
        selector=method.selector,
        sees=sorted(capability.value for capability in method.sees),
        reference=method.reference,
        summary=method.summary(),
    )
