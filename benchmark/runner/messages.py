"""What travels between a run and its workers, as JSON: an order to run one cell, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from coterie.tracking.record import Environment, Identity, MethodInfo, Record, Strict, TaskInfo


class Order(Strict):
    """One cell to be run. The worker makes task and method from it itself and checks that they are those of the identity.

    ``task`` is the specification of a task as JSON, ``include`` the files with methods.
    """

    identity: Identity
    method: MethodInfo
    task: dict[str, JsonValue]
    planted: bool
    device: str
    include: tuple[str, ...] = ()

    @property
    def cell(self) -> str:
        """The cell in words: task, method, seed."""
        return f"{self.identity.task_name}: {self.method.selector}, seed {self.identity.seed}"


class Loaded(Strict):
    """The cell's task is loaded, the cell begins now."""

    kind: Literal["loaded"] = "loaded"
    task: TaskInfo
    environment: Environment


class At(Strict):
    """Where the cell is: a step in words, and how many evaluations it has made in it."""

    kind: Literal["at"] = "at"
    step: str
    count: int = 0


class Spent(Strict):
    """A phase took so many seconds more."""

    kind: Literal["spent"] = "spent"
    phase: str
    seconds: float


class Done(Strict):
    """The cell's record, whatever its status."""

    kind: Literal["done"] = "done"
    record: Record


class NotRun(Strict):
    """A cell without a record, for a reason that is not the method's: its task did not load, or the code has changed.

    ``usage`` is whether the reason is the user's to mend.
    """

    kind: Literal["not run"] = "not run"
    identity: Identity
    cell: str
    reason: str
    trace: str | None = None
    usage: bool = False


News = Loaded | At | Spent
Message = News | Done | NotRun


class Listener:
    """What a run tells while it works, by default to nobody. All of it is for people; nothing depends on it.

    Calls come from several threads.
    """

    def step(self, text: str) -> None:
        """The run as a whole begins a new step."""

    def planned(self, cells: Mapping[str, int]) -> None:
        """How many cells are ``finished`` and how many ``missing``."""

    def began(self, order: Order) -> None:
        """A cell is with a worker."""

    def at(self, order: Order, step: str, count: int) -> None:
        """A running cell has come so far."""

    def spent(self, phase: str, seconds: float) -> None:
        """A phase took so many seconds more."""

    def cell(self, record: Record, reused: bool) -> None:
        """A cell is finished, or was before."""

    def not_run(self, cell: NotRun) -> None:
        """A cell could not be run."""
