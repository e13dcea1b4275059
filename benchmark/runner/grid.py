"""The grid: task x method x budget x seed. Finished cells are reused; the others go to an executor and become records.

::

    run = Run(grid, store, listener)  # finds the identity of every cell, and its stored record
    with make_executor(run) as executor:
        for record, reused in run.cells(executor):
            ...

Only this process writes records; workers send theirs to it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coterie.benchmark.protocol.settings import PROTOCOL, Settings
from coterie.benchmark.runner.agenda import PlannedCell, RunAgenda
from coterie.benchmark.runner.choices import ExecutorName, Overwrite
from coterie.benchmark.runner.executors.base import Executor, Limits
from coterie.benchmark.runner.messages import CellRequest, Listener, NotRun
from coterie.methods.base import Method
from coterie.methods.identity import code_hash
from coterie.tasks.task import TaskPlan
from coterie.tracking.record import BROKEN, Identity, MethodInfo, Record
from coterie.tracking.store import RecordStore


@dataclass(frozen=True)
class Grid:
    """What to run, and how."""

    tasks: Sequence[TaskPlan]
    """The planned tasks."""
    methods: Sequence[Method]
    """The methods with their parameters."""
    seeds: Sequence[int]
    """The seeds that every method runs with."""
    budgets: Sequence[int]
    """Evaluations that a method may spend, one cell per budget."""
    settings: Settings
    """Settings of the protocol."""
    overwrite: Overwrite = "only-missing"
    """Which cells run."""
    retry_failed: bool = False
    """Whether failed and timed-out cells run again."""
    fail_fast: bool = False
    """Whether the run stops at the first cell that goes wrong."""
    device: str = "cpu"
    """Device of the rerankers: cpu, cuda or mps."""
    include: Sequence[Path] = ()
    """Files with the user's methods."""
    n_jobs: int | None = None
    """Number of workers; None for one or, on Ray, as many as the cluster has room for."""
    executor: ExecutorName = "local"
    """Where cells run."""
    address: str | None = None
    """Address of the Ray cluster."""
    limits: Limits = field(default_factory=Limits)
    """Time and memory limits of a cell."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.tasks) * len(self.methods) * len(self.budgets) * len(self.seeds)


class Run:
    """One pass over a grid. `planned` lists its cells in order, `not_run` those that could not run, with the reasons."""

    def __init__(self, grid: Grid, store: RecordStore, listener: Listener) -> None:
        self.grid, self.not_run = grid, list[NotRun]()
        self._store, self._listener = store, listener
        self.planned = [self._plan(request) for request in _requests(grid, listener)]
        missing = sum(cell.missing for cell in self.planned)
        listener.planned({"finished": len(self.planned) - missing, "missing": missing})

    @property
    def missing(self) -> list[PlannedCell]:
        """The cells that have to run."""
        return [cell for cell in self.planned if cell.missing]

    def cells(self, executor: Executor) -> Iterator[tuple[Record, bool]]:
        """Yield each cell's record and whether it was finished before. New records are stored before they are yielded.

        A cell that fails, crashes or times out becomes a record that says so, and the others continue (unless `fail_fast`).
        Other runs wait for a cell until this iterator is advanced past it, so that each result is logged only once.
        """
        agenda = RunAgenda(self.missing, self._store)
        try:
            for cell in self.planned:
                if not cell.missing and cell.stored is not None:
                    agenda.await_others(cell.identity)
                    self._listener.finished(cell.stored, reused=True)
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
                record, reused = outcome.record, outcome.elsewhere
                if not reused:
                    record = self._store.with_later_date(record)
                    self._store.write(record)
                self._listener.finished(record, reused)
                yield record, reused
                agenda.release(record.identity)
                broken = record.status in BROKEN
            if broken and self.grid.fail_fast:
                return

    def _plan(self, request: CellRequest) -> PlannedCell:
        stored, grid = self._store.find(request.identity), self.grid
        again = grid.overwrite == "always" or (
            stored is not None and grid.retry_failed and stored.status in BROKEN and grid.overwrite != "never"
        )
        return PlannedCell(request, stored, missing=again or (stored is None and grid.overwrite != "never"))


def make_executor(run: Run) -> Executor:
    """The executor that the grid names, with workers for its missing cells."""
    grid, missing = run.grid, run.missing
    if grid.executor == "ray" and missing:
        from coterie.benchmark.runner.executors.ray import RayExecutor

        return RayExecutor(grid.n_jobs, grid.limits, grid.device, grid.address)
    if grid.executor == "inline" or not missing:
        from coterie.benchmark.runner.executors.inline import InlineExecutor

        return InlineExecutor()
    from coterie.benchmark.runner.executors.local import LocalExecutor

    return LocalExecutor(min(grid.n_jobs or 1, len(missing)), grid.limits)


def _requests(grid: Grid, listener: Listener) -> Iterator[CellRequest]:
    """A request for every cell of the grid, task by task."""
    hashes = {type(method): code_hash(type(method)) for method in grid.methods}
    include = tuple(str(path.resolve()) for path in grid.include)
    for plan in grid.tasks:
        started = time.perf_counter()
        fingerprint, spec = plan.fingerprint, plan.spec.model_dump(mode="json")
        listener.spent("loading", time.perf_counter() - started)
        for method in grid.methods:
            for budget in grid.budgets:
                for seed in grid.seeds:
                    identity = Identity(
                        protocol=PROTOCOL,
                        settings=grid.settings.model_dump(mode="json"),
                        task_name=plan.name,
                        task_fingerprint=fingerprint,
                        method_name=method.name,
                        parameters=method.parameters,
                        code_hash=hashes[type(method)],
                        budget=budget,
                        seed=seed,
                    )
                    yield CellRequest(
                        identity=identity, method=_method_info(method), task=spec, device=grid.device, include=include
                    )


def _method_info(method: Method) -> MethodInfo:
    return MethodInfo(
        selector=method.selector,
        sees=sorted(capability.value for capability in method.sees),
        reference=method.reference,
        summary=method.summary(),
    )
