"""The interface of executors, which take cells from an agenda, run them somewhere and yield the outcomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

from coterie.benchmark.runner.messages import CellRequest, Finished, Listener, Outcome


@dataclass(frozen=True)
class Limits:
    """What a cell may use; None for no limit."""

    seconds: float | None = None
    """Seconds, counted from the start of the cell."""
    memory: int | None = None
    """Bytes of resident memory of the worker and its child processes."""


class Agenda(Protocol):
    """The cells that are left to run. Methods may be called from any thread."""

    def take(self, task: str | None, wait: bool = True) -> CellRequest | Finished | None:
        """The next cell for a worker that has loaded the task with this fingerprint; None if no cell is left.

        A cell that another run has finished in the meantime is returned with its record. Without `wait`, None is also returned
        while other runs hold all the cells that are left.
        """


class Executor(ABC):
    """Runs the cells of an agenda. Leaving the context kills the cells that are still running."""

    @abstractmethod
    def run(self, agenda: Agenda, listener: Listener) -> Iterator[Outcome]:
        """Yield the outcome of each cell as it arrives."""

    def start(self) -> None:  # noqa: B027 - optional
        """Prepare for the first cell."""

    @abstractmethod
    def close(self) -> None:
        """Kill the cells that are still running."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
