"""Run cells in worker processes on this machine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from coterie.benchmark.runner.executors.base import Agenda, Executor, Limits
from coterie.benchmark.runner.executors.process import available_cores
from coterie.benchmark.runner.executors.supervisor import Supervisor
from coterie.benchmark.runner.messages import Finished, Listener, Outcome


class LocalExecutor(Executor):
    """Runs `n_jobs` workers that share the cores equally; a single worker leaves the number of threads to the libraries.

    A worker prefers cells of the task that it has loaded. One thread per worker waits for its outcomes. The thread that
    iterates over `run` receives them all, so that only one thread writes records.
    """

    def __init__(self, n_jobs: int, limits: Limits) -> None:
        threads = None if n_jobs == 1 else max(1, available_cores() // n_jobs)
        self._supervisors = [Supervisor(limits, threads) for _ in range(n_jobs)]
        self._outcomes: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
        self._closing = threading.Event()

    @property
    def pids(self) -> list[int]:
        """The ids of the current worker processes."""
        return [s.pid for s in self._supervisors if s.pid is not None]

    def start(self) -> None:
        """Start all workers."""
        for supervisor in self._supervisors:
            supervisor.start()

    def close(self) -> None:
        """Kill all workers."""
        self._closing.set()
        for supervisor in self._supervisors:
            supervisor.close()

    def run(self, agenda: Agenda, listener: Listener) -> Iterator[Outcome]:
        """Yield the outcome of each cell as it arrives."""
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
            while (taken := agenda.take(supervisor.task)) is not None and not self._closing.is_set():
                if isinstance(taken, Finished):
                    self._outcomes.put(taken)
                    continue
                listener.started(taken)
                outcome = supervisor.run(taken, listener)
                if not self._closing.is_set():
                    self._outcomes.put(outcome)
        except BaseException as error:  # passed on and raised in the thread that iterates, instead of being lost
            self._outcomes.put(error)
        finally:
            self._outcomes.put(None)
