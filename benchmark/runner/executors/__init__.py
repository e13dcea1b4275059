"""Where cells run: in worker processes of this machine, on a Ray cluster, or in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from coterie.benchmark.runner.messages import Listener, NotRun, Order
from coterie.tracking.record import Record


@dataclass(frozen=True)
class Limits:
    """What a cell may take: seconds and bytes of resident memory; None for no limit."""

    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Found:
    """Another run has finished the cell meanwhile."""

    record: Record


Outcome = Record | NotRun | Found


class Agenda(Protocol):
    """The cells that are still to be run. Any thread may ask."""

    def take(self, task: str | None, wait: bool = True) -> Order | Found | None:
        """A cell for a worker that has loaded the task of this fingerprint; None where there is none left.

        Without ``wait``, None also where all that is left is being run by another run at this moment.
        """


class Executor(Protocol):
    """Runs the cells of an agenda. On leaving the context all that still runs is killed."""

    def run(self, agenda: Agenda, listener: Listener) -> Iterator[Outcome]:
        """Yield what came of each cell, as it comes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
