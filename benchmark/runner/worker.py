"""What runs a cell: load the task once, let the method propose, score. ``python -m coterie.benchmark.runner.worker`` is a process
that does so for orders on stdin, one JSON line each, and answers in JSON lines on stdout until stdin ends.

A process of its own for the sake of those that hang, crash or eat all memory: it can be killed. It is started as a command,
not forked (threads of torch) and not by :mod:`multiprocessing` (which imports the user's main module again, so that
it fails in a notebook, and passes pickles).
"""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from coterie.benchmark.errors import user_errors
from coterie.benchmark.protocol.seeding import generator
from coterie.benchmark.protocol.settings import Settings
from coterie.benchmark.runner.environment import environment, peak_memory_bytes, reset_peak_memory
from coterie.benchmark.runner.loading import AnyTask, load_task, plan_task, read_spec, task_info
from coterie.benchmark.runner.messages import At, Done, Loaded, News, NotRun, Order, Spent
from coterie.tasks.memo import Memo
from coterie.tracking.record import CoalitionSet, Cost, Failure, Record

if TYPE_CHECKING:
    from coterie.benchmark.protocol.bench import Bench
    from coterie.methods.base import Method
    from coterie.tasks.game import RestrictedGame

_TELL_SECONDS = 0.2  # between two reports of how far a step is


class StaleOrderError(RuntimeError):
    """What the order was planned with is no longer what is here."""


@dataclass
class _Loaded:
    """A task with what its cells share: the judges' cache of ablations and the methods' memo."""

    task: AnyTask
    bench: Bench
    memo: Memo = field(default_factory=Memo)


class Worker:
    """Runs cells one after the other and keeps the task that it has loaded. ``tell`` gets the news of the running cell."""

    def __init__(self, tell: Callable[[News], None]) -> None:
        self._tell = tell
        self._loaded: _Loaded | None = None
        self._key: tuple[str, str, str] | None = None
        self._phase, self._count, self._told = "loading", 0, 0.0

    def run(self, order: Order) -> Record | NotRun:
        """The cell's record. A method may raise anything: that becomes a record with status ``failed``."""
        try:
            method = _method(order)
            loaded = self._load(order)
            self._tell(Loaded(task=task_info(loaded.task), environment=environment(order.device)))
        except Exception as error:
            return NotRun(
                identity=order.identity,
                cell=order.cell,
                reason=str(error) if isinstance(error, user_errors()) else f"{type(error).__name__}: {error}",
                trace=traceback.format_exc(),
                usage=isinstance(error, user_errors()),
            )
        reason = method.skip_reason(loaded.task.discovery)
        if reason is not None:
            return _record(order, loaded.task, status="skipped", reason=reason)
        return self._cell(order, method, loaded)

    def _load(self, order: Order) -> _Loaded:
        identity = order.identity
        settings = Settings.model_validate(identity.settings)
        key = (identity.task_fingerprint, order.device, settings.model_dump_json())
        if self._loaded is None or self._key != key:
            from coterie.benchmark.protocol.bench import Bench

            self._loaded = None  # the one before is freed first
            started = time.perf_counter()
            self._at("reading texts")
            plan = plan_task(read_spec(order.task, order.planted))
            if plan.fingerprint != identity.task_fingerprint:
                raise StaleOrderError(
                    f"{plan.name}: expected fingerprint {identity.task_fingerprint[:12]}, got {plan.fingerprint[:12]}: "
                    f"its texts or weights have changed since the run began; fix: run again"
                )
            task = load_task(plan, order.device, self._at)
            self._loaded, self._key = _Loaded(task, Bench(task, settings, self._evaluated)), key
            self._tell(Spent(phase="loading", seconds=time.perf_counter() - started))
        return self._loaded

    def _cell(self, order: Order, method: Method, loaded: _Loaded) -> Record:
        from coterie.benchmark.protocol.scoring import score

        identity = order.identity
        reset_peak_memory()
        game = loaded.task.discovery.restricted_to(method.sees, identity.budget, loaded.memo)
        game.meter.told = self._charged
        started = time.perf_counter()
        try:
            self._at("proposing coalitions")
            rng = generator(identity.task_fingerprint, identity.seed)
            coalitions = method.discover(game, identity.budget, rng)
            discovered = time.perf_counter()
            self._at("scoring")
            scores = score(loaded.bench, coalitions, identity.seed)
            scored = time.perf_counter()
            record = _record(
                order,
                loaded.task,
                status="ok",
                coalitions=CoalitionSet(
                    n_players=coalitions.n_players,
                    groups=[list(g) for g in coalitions.groups],
                    notes=dict(coalitions.notes),
                ),
                scores=scores,
                cost=Cost(
                    evaluations=dict(game.meter.counts),
                    discovery_seconds=discovered - started + game.meter.seconds_saved,
                    scoring_seconds=scored - discovered,
                    peak_memory_bytes=peak_memory_bytes(),
                ),
            )
        except (Exception, SystemExit) as error:
            return self._failed(order, loaded.task, game, time.perf_counter() - started, error)
        self._tell(Spent(phase="discovery", seconds=discovered - started))
        self._tell(Spent(phase="scoring", seconds=scored - discovered))
        return record

    def _failed(
        self, order: Order, task: AnyTask, game: RestrictedGame, seconds: float, error: BaseException
    ) -> Record:
        return _record(
            order,
            task,
            status="failed",
            reason=f"{type(error).__name__}: {error}",
            trace=traceback.format_exc(),
            failure=Failure(
                phase=self._phase,
                seconds=seconds,
                peak_memory_bytes=peak_memory_bytes(),
                evaluations=dict(game.meter.counts),
            ),
        )

    def _at(self, step: str) -> None:
        self._phase, self._count, self._told = step, 0, time.monotonic()
        self._tell(At(step=step))

    def _charged(self, total: int) -> None:
        self._counted(total)

    def _evaluated(self, more: int) -> None:
        self._counted(self._count + more)

    def _counted(self, count: int) -> None:
        self._count, now = count, time.monotonic()
        if now - self._told > _TELL_SECONDS:
            self._told = now
            self._tell(At(step=self._phase, count=count))


def _method(order: Order) -> Method:
    """The order's method, from its name and parameters; its code must be the one that the run was planned with."""
    from coterie.methods.identity import code_hash
    from coterie.methods.registry import get_method, include, list_methods

    for path in order.include:
        include(path)
    name = order.identity.method_name
    if name not in list_methods():
        get_method(name)  # raises the error that names the nearest ones
    cls = list_methods()[name]
    if code_hash(cls) != order.identity.code_hash:
        raise StaleOrderError(f"{name}: its code has changed since the run began; fix: run again")
    return cls.build(order.identity.parameters)


def _record(order: Order, task: AnyTask, **fields: object) -> Record:
    return Record.model_validate(
        {
            "identity": order.identity,
            "identity_digest": order.identity.digest(),
            "date": datetime.now(UTC).isoformat(timespec="microseconds"),
            "task": task_info(task),
            "method": order.method,
            "environment": environment(order.device),
            **fields,
        }
    )


def main() -> None:
    """Serve orders until stdin ends: then whoever gave them is gone, and this process ends at once, whatever it does."""
    waiting, answers = served()

    def tell(message: News | Done | NotRun) -> None:
        answers.write(message.model_dump_json() + "\n")
        answers.flush()

    worker = Worker(tell)
    while True:
        outcome = worker.run(Order.model_validate_json(waiting.get()))
        tell(Done(record=outcome) if isinstance(outcome, Record) else outcome)


def served() -> tuple[queue.SimpleQueue[str], TextIO]:
    """Orders as they come and where the answers go, of a process that ends at once where stdin does, whatever it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the run decides what becomes of us
    faulthandler.enable()
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1)  # before a kill for time the run asks where we are
    orders, answers = _own_pipes()
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in orders:
            waiting.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return waiting, answers


def _own_pipes() -> tuple[TextIO, TextIO]:
    """Stdin and stdout for orders and answers alone: a method that prints writes to stderr, one that reads finds the end."""
    orders, answers = os.fdopen(os.dup(0), encoding="utf8"), os.fdopen(os.dup(1), "w", encoding="utf8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return orders, answers


if __name__ == "__main__":
    main()
