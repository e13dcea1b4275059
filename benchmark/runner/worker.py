"""Runs cells: loads the task once, lets the method propose coalitions, scores them.

`python -m coterie.benchmark.runner.worker` is a worker process: it reads requests from stdin, one JSON line each, and
writes messages to stdout as JSON lines, until stdin ends.

Cells run in a separate process because it can be killed when a method hangs, crashes or uses up all memory. The process
is started as a command. It is not forked, because of torch's threads, and does not use `multiprocessing`, which imports
the user's main module again (and so fails in notebooks) and exchanges pickles.
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
from typing import TYPE_CHECKING, TextIO

from coterie.benchmark.errors import user_errors
from coterie.benchmark.protocol.seeding import generator
from coterie.benchmark.protocol.settings import Settings
from coterie.benchmark.runner.environment import environment, peak_memory_bytes, reset_peak_memory
from coterie.benchmark.runner.messages import (
    CellRequest,
    Finished,
    Message,
    NotRun,
    Outcome,
    StepProgress,
    TaskLoaded,
    TimeSpent,
    Update,
)
from coterie.tasks.kinds import plan_task, spec_of
from coterie.tasks.memo import Memo
from coterie.tasks.task import Task
from coterie.tracking.record import CoalitionSet, Cost, Environment, Failure, Record, TaskInfo

if TYPE_CHECKING:
    from coterie.benchmark.protocol.bench import Bench
    from coterie.methods.base import Method
    from coterie.tasks.game import RestrictedGame

_REPORT_SECONDS = 0.2  # between two reports of progress within a step


class StaleRequestError(RuntimeError):
    """The code or texts on this machine are no longer those that the run was planned with."""


@dataclass
class _Loaded:
    """A loaded task, with what its cells share."""

    task: Task
    """The task."""
    bench: Bench
    """The judge, with its cache of ablations."""
    info: TaskInfo
    """What records say about the task."""
    environment: Environment
    """What records say about this process."""
    memo: Memo = field(default_factory=Memo)
    """What methods have asked of the discovery game."""


class Worker:
    """Runs cells one after another and keeps the last task loaded. `report` receives updates on the running cell."""

    def __init__(self, report: Callable[[Update], None]) -> None:
        self._report = report
        self._loaded: _Loaded | None = None
        self._key: tuple[str, str, str] | None = None
        self._phase, self._count, self._reported = "loading", 0, 0.0

    def run(self, request: CellRequest) -> Outcome:
        """Run a cell. A method may raise anything: that becomes a record with status `failed`."""
        try:
            method = _method(request)
            loaded = self._load(request)
            self._report(TaskLoaded(task=loaded.info, environment=loaded.environment))
        except Exception as error:
            usage = isinstance(error, user_errors())
            reason = str(error) if usage else f"{type(error).__name__}: {error}"
            return NotRun.of(request, reason, traceback.format_exc(), usage)
        skip_reason = method.skip_reason(loaded.task.discovery)
        if skip_reason is not None:
            record = request.record(loaded.info, loaded.environment, status="skipped", reason=skip_reason)
        else:
            record = self._cell(request, method, loaded)
        return Finished(record=record)

    def _load(self, request: CellRequest) -> _Loaded:
        identity = request.identity
        settings = Settings.model_validate(identity.settings)
        key = (identity.task_fingerprint, request.device, settings.model_dump_json())
        if self._loaded is None or self._key != key:
            from coterie.benchmark.protocol.bench import Bench

            self._loaded = None  # free the previous task before loading the next
            started = time.perf_counter()
            self._enter("reading texts")
            plan = plan_task(spec_of(request.task))
            if plan.fingerprint != identity.task_fingerprint:
                raise StaleRequestError(
                    f"{plan.name}: expected fingerprint {identity.task_fingerprint[:12]}, got {plan.fingerprint[:12]}: "
                    f"its texts or weights have changed since the run began; fix: run again"
                )
            task = plan.load(request.device, self._enter)
            bench = Bench(task, settings, self._count_scoring)
            info = TaskInfo.model_validate(task.info())
            self._loaded, self._key = _Loaded(task, bench, info, environment(request.device)), key
            self._report(TimeSpent(phase="loading", seconds=time.perf_counter() - started))
        return self._loaded

    def _cell(self, request: CellRequest, method: Method, loaded: _Loaded) -> Record:
        from coterie.benchmark.protocol.scoring import score

        identity = request.identity
        reset_peak_memory()
        game = loaded.task.discovery.restricted_to(method.sees, identity.budget, loaded.memo)
        game.meter.on_charge = self._set_count
        started = time.perf_counter()
        try:
            self._enter("proposing coalitions")
            rng = generator(identity.task_fingerprint, identity.seed)
            coalitions = method.discover(game, identity.budget, rng)
            discovered = time.perf_counter()
            self._enter("scoring")
            scores = score(loaded.bench, coalitions, identity.seed)
            scored = time.perf_counter()
            groups, notes = [list(g) for g in coalitions.groups], dict(coalitions.notes)
            record = request.record(
                loaded.info,
                loaded.environment,
                status="ok",
                coalitions=CoalitionSet(n_players=coalitions.n_players, groups=groups, notes=notes),
                scores=scores,
                cost=Cost(
                    evaluations=dict(game.meter.counts),
                    discovery_seconds=discovered - started + game.meter.seconds_saved,
                    scoring_seconds=scored - discovered,
                    peak_memory_bytes=peak_memory_bytes(),
                ),
            )
        except (Exception, SystemExit) as error:
            return self._failed(request, loaded, game, time.perf_counter() - started, error)
        self._report(TimeSpent(phase="discovery", seconds=discovered - started))
        self._report(TimeSpent(phase="scoring", seconds=scored - discovered))
        return record

    def _failed(
        self, request: CellRequest, loaded: _Loaded, game: RestrictedGame, seconds: float, error: BaseException
    ) -> Record:
        failure = Failure(
            phase=self._phase,
            seconds=seconds,
            peak_memory_bytes=peak_memory_bytes(),
            evaluations=dict(game.meter.counts),
        )
        return request.record(
            loaded.info,
            loaded.environment,
            status="failed",
            reason=f"{type(error).__name__}: {error}",
            trace=traceback.format_exc(),
            failure=failure,
        )

    def _enter(self, step: str) -> None:
        self._phase, self._count, self._reported = step, 0, time.monotonic()
        self._report(StepProgress(step=step))

    def _count_scoring(self, more: int) -> None:
        self._set_count(self._count + more)

    def _set_count(self, count: int) -> None:
        self._count, now = count, time.monotonic()
        if now - self._reported > _REPORT_SECONDS:
            self._reported = now
            self._report(StepProgress(step=self._phase, count=count))


def _method(request: CellRequest) -> Method:
    """The requested method, whose code must be the one that the run was planned with."""
    from coterie.methods.identity import code_hash
    from coterie.methods.registry import get_method, include, list_methods

    for path in request.include:
        include(path)
    name = request.identity.method_name
    if name not in list_methods():
        get_method(name)  # raises the error that suggests similar names
    cls = list_methods()[name]
    if code_hash(cls) != request.identity.code_hash:
        raise StaleRequestError(f"{name}: its code has changed since the run began; fix: run again")
    return cls.build(request.identity.parameters)


def main() -> None:
    """Answer requests until stdin ends, which means that the run has ended. This process then exits immediately."""
    requests, answers = open_channel()

    def send(message: Message) -> None:
        answers.write(message.model_dump_json() + "\n")
        answers.flush()

    worker = Worker(send)
    while True:
        send(worker.run(CellRequest.model_validate_json(requests.get())))


def open_channel() -> tuple[queue.SimpleQueue[str], TextIO]:
    """The lines that arrive on stdin, and a file for the answers. The process exits as soon as stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the run decides what to do
    faulthandler.enable()
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1)  # sent before a kill, to dump the threads
    lines, answers = _take_over_pipes()
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in lines:
            waiting.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return waiting, answers


def _take_over_pipes() -> tuple[TextIO, TextIO]:
    """Reserve stdin and stdout for messages: a method that prints writes to stderr, and one that reads gets nothing."""
    lines, answers = os.fdopen(os.dup(0), encoding="utf8"), os.fdopen(os.dup(1), "w", encoding="utf8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return lines, answers


if __name__ == "__main__":
    main()
