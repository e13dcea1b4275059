"""The messages between a run and its workers, sent as JSON: a request for one cell, updates, and the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import JsonValue

from coterie.tracking.record import Environment, Identity, MethodInfo, Record, Strict, TaskInfo


class CellRequest(Strict):
    """A request to run one cell. The worker builds task and method from it and checks that they match the identity."""

    identity: Identity
    """Everything that determines the result."""
    method: MethodInfo
    """What the record says about the method."""
    task: dict[str, JsonValue]
    """The task's specification as JSON."""
    device: str
    """Device of the reranker: cpu, cuda or mps."""
    include: tuple[str, ...] = ()
    """Absolute paths of the files with the user's methods."""

    @property
    def label(self) -> str:
        """Human-readable name of the cell: task, method and seed."""
        return f"{self.identity.task_name}: {self.method.selector}, seed {self.identity.seed}"

    def record(self, task: TaskInfo, environment: Environment, **outcome: Any) -> Record:
        """Make a record of this cell, dated now; `outcome` holds the fields that depend on how it went."""
        return Record(
            identity=self.identity,
            identity_digest=self.identity.digest(),
            date=datetime.now(UTC).isoformat(timespec="microseconds"),
            task=task,
            method=self.method,
            environment=environment,
            **outcome,
        )


class TaskLoaded(Strict):
    """The worker has loaded the task and starts the cell."""

    kind: Literal["loaded"] = "loaded"
    task: TaskInfo
    """What the record says about the task."""
    environment: Environment
    """The worker's machine and software."""


class StepProgress(Strict):
    """How far a running cell has got."""

    kind: Literal["progress"] = "progress"
    step: str
    """What it is doing, as a phrase: `proposing coalitions`."""
    count: int = 0
    """Evaluations made in this step."""


class TimeSpent(Strict):
    """Time to add to a phase's total."""

    kind: Literal["time"] = "time"
    phase: str
    """Name of the phase: loading, discovery or scoring."""
    seconds: float
    """Seconds since the phase was last reported."""


class Finished(Strict):
    """The cell has a record."""

    kind: Literal["finished"] = "finished"
    record: Record
    """The record, whatever its status."""
    elsewhere: bool = False
    """Whether another run has finished the cell in the meantime."""


class NotRun(Strict):
    """The cell has no record, for a reason that is not the method's: its task did not load, or the code has changed."""

    kind: Literal["not run"] = "not run"
    identity: Identity
    """The cell's identity."""
    label: str
    """Human-readable name of the cell."""
    reason: str
    """Why it was not run, in one line."""
    trace: str | None = None
    """Traceback, or the last output of the process."""
    usage: bool = False
    """Whether the user can fix it."""

    @classmethod
    def of(cls, request: CellRequest, reason: str, trace: str | None = None, usage: bool = False) -> NotRun:
        """Answer a request for a cell that cannot be run."""
        return cls(identity=request.identity, label=request.label, reason=reason, trace=trace, usage=usage)


Update = TaskLoaded | StepProgress | TimeSpent
Outcome = Finished | NotRun
Message = Update | Outcome


class Listener:
    """Receives the events of a run in order to show them; no result depends on it. This base class ignores them all.

    Methods are called from several threads.
    """

    def step(self, text: str) -> None:
        """The run as a whole starts a new step."""

    def planned(self, cells: Mapping[str, int]) -> None:
        """The numbers of `finished` and `missing` cells are known."""

    def started(self, request: CellRequest) -> None:
        """A worker has received a cell."""

    def progress(self, request: CellRequest, step: str, count: int) -> None:
        """A running cell has made `count` evaluations in its current step."""

    def spent(self, phase: str, seconds: float) -> None:
        """A phase took this many more seconds."""

    def finished(self, record: Record, reused: bool) -> None:
        """A cell has finished, in this run or before (`reused`)."""

    def not_run(self, cell: NotRun) -> None:
        """A cell could not be run."""

    def updated(self, request: CellRequest, update: Update) -> None:
        """Pass on a worker's update to the method for its kind."""
        if isinstance(update, TimeSpent):
            self.spent(update.phase, update.seconds)
        elif isinstance(update, StepProgress):
            self.progress(request, update.step, update.count)
