"""Cells in worker processes of this machine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from coterie.benchmark.runner.executors import Agenda, Found, Limits, Outcome
from coterie.benchmark.runner.executors.process import cores
from coterie.benchmark.runner.executors.supervisor import Supervisor
from coterie.benchmark.runner.messages import Listener


class LocalExecutor:
    """``n_jobs`` workers, each with its share of the cores; with one worker the libraries decide on their threads.

    A worker takes cells of the task that it has loaded as long as there are some. One thread for each worker waits for it;
    what came of a cell is handed over in the thread that iterates, which alone writes records.
    """

    def __init__(self, n_jobs: int, limits: Limits) -> None:
        threads = None if n_jobs == 1 else max(1, cores() // n_jobs)
        self._supervisors = [Supervisor(limits, threads) for _ in range(n_jobs)]
        self._outcomes: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
        self._closing = threading.Event()

    @property
    def pids(self) -> list[int]:
        """The worker processes that there are at this moment."""
        return [s.pid for s in self._supervisors if s.pid is not None]

    def __enter__(self) -> Self:
        for supervisor in self._supervisors:
            supervisor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for supervisor in self._supervisors:
            supervisor.close()

    def run(self, agenda: Agenda, listener: Listener) -> Iterator[Outcome]:
        """Yield what came of each cell, as it comes."""
        serving = len(self._supervisors)
        for supervisor in self._supervisors:
            threading.Thread(target=self._serve, args=(supervisor, agenda, listener), daemon=True).start()
        while serving:
            outcome = self._outcomes.get()
            if outcome is None:
                serving -= 1
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                yield outcome

    def _serve(self, supervisor: Supervisor, agenda: Agenda, listener: Listener) -> None:
        try:
            while (order := agenda.take(supervisor.task)) is not None and not self._closing.is_set():
                if isinstance(order, Found):
                    self._outcomes.put(order)
                    continue
                listener.began(order)
                outcome = supervisor.run(order, listener)
                if not self._closing.is_set():
                    self._outcomes.put(outcome)
        except BaseException as error:  # it must not end silently in a thread: it is raised where the run iterates
            self._outcomes.put(error)
        finally:
            self._outcomes.put(None)
