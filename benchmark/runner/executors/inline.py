"""Cells in this process: for a debugger. Nothing can be killed, and a crash takes the run with it."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from coterie.benchmark.runner.executors import Agenda, Found, Outcome
from coterie.benchmark.runner.messages import At, Listener, Loaded, Order, Spent
from coterie.benchmark.runner.worker import Worker


class InlineExecutor:
    """One cell after the other."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, agenda: Agenda, listener: Listener) -> Iterator[Outcome]:
        """Yield what came of each cell."""
        running: Order | None = None

        def tell(news: Loaded | At | Spent) -> None:
            if isinstance(news, Spent):
                listener.spent(news.phase, news.seconds)
            elif isinstance(news, At) and running is not None:
                listener.at(running, news.step, news.count)

        worker = Worker(tell)
        loaded: str | None = None
        while (order := agenda.take(loaded)) is not None:
            if isinstance(order, Found):
                yield order
                continue
            running = order
            listener.began(order)
            yield worker.run(order)
            loaded = order.identity.task_fingerprint
