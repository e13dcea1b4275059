"""Run cells in this process, for a debugger. Nothing can be killed, and a crash ends the run."""

from __future__ import annotations

from collections.abc import Iterator

from coterie.benchmark.runner.executors.base import Agenda, Executor
from coterie.benchmark.runner.messages import CellRequest, Finished, Listener, Outcome, Update
from coterie.benchmark.runner.worker import Worker


class InlineExecutor(Executor):
    """Runs one cell after another."""

    def run(self, agenda: Agenda, listener: Listener) -> Iterator[Outcome]:
        """Yield the outcome of each cell."""
        running: CellRequest | None = None

        def report(update: Update) -> None:
            if running is not None:
                listener.updated(running, update)

        worker = Worker(report)
        loaded: str | None = None
        while (taken := agenda.take(loaded)) is not None:
            if isinstance(taken, Finished):
                yield taken
                continue
            running = taken
            listener.started(running)
            yield worker.run(running)
            loaded = running.identity.task_fingerprint

    def close(self) -> None:
        """Do nothing: nothing runs between two cells."""
