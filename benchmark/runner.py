"""The grid: task x method x seed. Finished cells are reused, the others run one after the other, each one record."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from coterie.benchmark.environment import environment, peak_memory_bytes, reset_peak_memory
from coterie.benchmark.loading import AnyPlan, AnySpec, AnyTask, load_task, plan_task, task_info
from coterie.benchmark.settings import PROTOCOL, Settings
from coterie.methods.base import Method
from coterie.methods.identity import code_hash
from coterie.tracking.record import CoalitionSet, Cost, Identity, MethodInfo, Record
from coterie.tracking.store import RecordStore

if TYPE_CHECKING:
    from coterie.benchmark.bench import Bench

Overwrite = Literal["only-missing", "always", "never"]


class Listener(Protocol):
    """What a run tells while it works. All of it is for people; nothing depends on it."""

    def step(self, text: str) -> None: ...
    def evaluated(self, ablations: int) -> None: ...
    def spent(self, phase: str, seconds: float) -> None: ...
    def cell(self, record: Record, reused: bool) -> None: ...


@dataclass(frozen=True)
class Grid:
    """What is to be run."""

    tasks: Sequence[AnySpec]
    methods: Sequence[Method]
    seeds: Sequence[int]
    budget: int
    settings: Settings
    overwrite: Overwrite = "only-missing"
    retry_failed: bool = False
    fail_fast: bool = False
    device: str = "cpu"

    @property
    def n_cells(self) -> int:
        return len(self.tasks) * len(self.methods) * len(self.seeds)


def run_grid(grid: Grid, store: RecordStore, listener: Listener) -> Iterator[tuple[Record, bool]]:
    """Yield every cell's record and whether it was finished before; new ones are on disk before they are yielded.

    A method that raises becomes a record with status ``failed``; the others go on (unless ``fail_fast``). A task is
    loaded once, and only where one of its cells has to run.
    """
    for spec in grid.tasks:
        listener.step(f"{spec.name}: reading texts")
        started = time.perf_counter()
        plan = plan_task(spec)
        listener.spent("loading", time.perf_counter() - started)
        loaded: tuple[AnyTask, Bench] | None = None
        for method in grid.methods:
            for seed in grid.seeds:
                identity = cell_identity(plan, method, seed, grid)
                stored = None if grid.overwrite == "always" else store.find(identity)
                if stored is not None and not (grid.retry_failed and stored.status in ("failed", "timeout")):
                    listener.cell(stored, reused=True)
                    yield stored, True
                    continue
                if grid.overwrite == "never":
                    continue
                if loaded is None:
                    loaded = _load(plan, grid, listener)
                record = _run_cell(identity, method, *loaded, grid, listener)
                store.write(record)
                listener.cell(record, reused=False)
                yield record, False
                if grid.fail_fast and record.status not in ("ok", "skipped"):
                    return


def cell_identity(plan: AnyPlan, method: Method, seed: int, grid: Grid) -> Identity:
    """Everything that determines the cell's result."""
    return Identity(
        protocol=PROTOCOL,
        settings=grid.settings.model_dump(mode="json"),
        task_name=plan.name,
        task_fingerprint=plan.fingerprint,
        method_name=method.name,
        parameters=method.parameters,
        code_hash=code_hash(type(method)),
        budget=grid.budget,
        seed=seed,
    )


def _load(plan: AnyPlan, grid: Grid, listener: Listener) -> tuple[AnyTask, Bench]:
    from coterie.benchmark.bench import Bench

    started = time.perf_counter()
    task = load_task(plan, grid.device, lambda step: listener.step(f"{plan.name}: {step}"))
    listener.spent("loading", time.perf_counter() - started)
    return task, Bench(task, grid.settings, listener.evaluated)


def _run_cell(
    identity: Identity, method: Method, task: AnyTask, bench: Bench, grid: Grid, listener: Listener
) -> Record:
    from coterie.benchmark.scoring import score

    def record(**fields: object) -> Record:
        return Record.model_validate(
            {
                "identity": identity,
                "identity_digest": identity.digest(),
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "task": task_info(task),
                "method": _method_info(method),
                "environment": environment(grid.device),
                **fields,
            }
        )

    reason = method.skip_reason(task.discovery)
    if reason is not None:
        return record(status="skipped", reason=reason)
    reset_peak_memory()
    game = task.discovery.restricted_to(method.sees, grid.budget)
    started = time.perf_counter()
    try:
        listener.step(f"{task.name}: {method.selector}, seed {identity.seed}: proposing coalitions")
        coalitions = method.discover(game, grid.budget, np.random.default_rng(identity.seed))
        discovered = time.perf_counter()
        listener.step(f"{task.name}: {method.selector}, seed {identity.seed}: scoring")
        scores = score(bench, coalitions)
    except Exception as error:  # a method may raise anything: it becomes the cell's record, and the others go on
        return record(status="failed", reason=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
    scored = time.perf_counter()
    listener.spent("discovery", discovered - started)
    listener.spent("scoring", scored - discovered)
    return record(
        status="ok",
        coalitions=CoalitionSet(
            n_players=coalitions.n_players, groups=[list(g) for g in coalitions.groups], notes=dict(coalitions.notes)
        ),
        scores=scores,
        cost=Cost(
            evaluations=dict(game.meter.counts),
            discovery_seconds=discovered - started,
            scoring_seconds=scored - discovered,
            peak_memory_bytes=peak_memory_bytes(),
        ),
    )


def _method_info(method: Method) -> MethodInfo:
    return MethodInfo(
        selector=method.selector,
        sees=sorted(capability.value for capability in method.sees),
        reference=method.reference,
        summary=method.summary(),
    )
