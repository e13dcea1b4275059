"""Runs one cell after the other in a worker process, and survives whatever the process does."""

from __future__ import annotations

import queue
import signal
import time
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from coterie.benchmark.quantities import format_bytes, format_seconds
from coterie.benchmark.runner.executors import Limits
from coterie.benchmark.runner.executors.process import WorkerProcess, thread_settings
from coterie.benchmark.runner.messages import At, Done, Listener, Loaded, Message, NotRun, Order, Spent
from coterie.tracking.record import Failure, Record, Status

_TICK = 0.1  # seconds between two looks at the clock and at the memory
_LEAST_FOR_LOADING = 600.0
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


class Supervisor:
    """A worker process and its limits. One that is lost takes one cell with it and is replaced for the next."""

    def __init__(self, limits: Limits, threads: int | None = None) -> None:
        self._limits, self._threads = limits, threads
        self._process: WorkerProcess | None = None
        self._closed = False
        self.task: str | None = None  # the fingerprint of the task that the worker has loaded

    def start(self) -> None:
        """Have a worker: its imports take seconds, so it is started before there is something to do."""
        if self._process is None and not self._closed:
            self._process = WorkerProcess(thread_settings(self._threads))

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """Kill the worker, whatever it does; from any thread."""
        self._closed = True
        self._drop()

    def run(self, order: Order, listener: Listener) -> Record | NotRun:
        """The cell's record; where the process was lost or killed, one that says so."""
        self.start()
        if self._process is None:
            raise RuntimeError("expected an open supervisor, got a closed one")
        outcome = _Cell(order, self._process, self._limits, listener).run()
        lost = isinstance(outcome, Lost)
        failed_on_gpu = order.device == "cuda" and isinstance(outcome, Record) and outcome.status == "failed"
        if lost or failed_on_gpu:  # an error of a kernel leaves a process that can no longer use its GPU
            self._drop()
        else:
            self.task = order.identity.task_fingerprint
        return outcome.outcome if isinstance(outcome, Lost) else outcome

    def _drop(self) -> None:
        process, self._process, self.task = self._process, None, None
        if process is not None:
            process.kill()


class Lost:
    """The process is gone; ``outcome`` is what becomes of the cell."""

    def __init__(self, outcome: Record | NotRun) -> None:
        self.outcome = outcome


class _Cell:
    """One cell in a process."""

    def __init__(self, order: Order, process: WorkerProcess, limits: Limits, listener: Listener) -> None:
        self._order, self._process, self._limits, self._listener = order, process, limits, listener
        self._loaded: Loaded | None = None
        self._at = At(step="starting")
        self._peak = 0
        self._started = time.monotonic()

    def run(self) -> Record | NotRun | Lost:
        self._process.send(self._order.model_dump_json())
        looked = 0.0
        while True:
            if time.monotonic() - looked > _TICK:
                looked = time.monotonic()
                over = self._over()
                if over is not None:
                    return over
            try:
                line = self._process.answer(_TICK)
            except queue.Empty:
                continue
            if line is None:
                return self._ended()
            try:
                message = _MESSAGE.validate_json(line)
            except ValidationError:
                return self._lost("failed", f"its process answered what is no message: {line[:200]!r}")
            if isinstance(message, Done):
                return message.record
            if isinstance(message, NotRun):
                return message
            self._hear(message)

    def _hear(self, message: Loaded | At | Spent) -> None:
        if isinstance(message, Loaded):
            self._loaded, self._started = message, time.monotonic()
            self._peak = self._process.memory() or self._peak  # 0 where it has crashed meanwhile
        elif isinstance(message, Spent):
            self._listener.spent(message.phase, message.seconds)
        else:
            self._at = message
            self._listener.at(self._order, message.step, message.count)

    def _over(self) -> Lost | None:
        """Kill the process where it is over one of its limits."""
        memory, spent = self._process.memory(), time.monotonic() - self._started
        self._peak = max(self._peak, memory)
        most, seconds = self._limits.memory, self._limits.seconds
        if most is not None and memory > most:
            return self._lost("failed", f"used {format_bytes(memory)} of memory, the limit is {format_bytes(most)}")
        if seconds is None:
            return None
        if self._loaded is None:
            seconds = max(seconds, _LEAST_FOR_LOADING)
        if spent > seconds:
            trace = self._process.where()
            return self._lost("timeout", f"not finished within {format_seconds(seconds)}", trace)
        return None

    def _ended(self) -> Lost:
        code = self._process.kill()
        return self._lost(
            "failed", f"its process {_how(code)}, having used {format_bytes(self._peak)} of memory", code=code
        )

    def _lost(self, status: Status, what: str, trace: str | None = None, code: int | None = None) -> Lost:
        """What becomes of the cell: a record, or, where the task was not loaded yet, the reason why there is none."""
        spent = time.monotonic() - self._started
        if code is None:
            self._process.kill()
        trace = (self._process.words() if trace is None else trace) or None
        reason = f"{what}; it was {self._at.step}"
        if self._loaded is None:
            order = self._order
            return Lost(NotRun(identity=order.identity, cell=order.cell, reason=reason, trace=trace))
        counted = {"evaluations": self._at.count} if self._at.count else {}
        return Lost(
            Record(
                identity=self._order.identity,
                identity_digest=self._order.identity.digest(),
                date=datetime.now(UTC).isoformat(timespec="microseconds"),
                status=status,
                reason=reason,
                trace=trace,
                failure=Failure(
                    phase=self._at.step,
                    seconds=spent,
                    peak_memory_bytes=self._peak or None,
                    evaluations=counted,
                    exit_code=code,
                ),
                task=self._loaded.task,
                method=self._order.method,
                environment=self._loaded.environment,
            )
        )


def _how(code: int) -> str:
    """How a process ended, by its exit code."""
    if code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    why = " (by somebody, or by the system for lack of memory)" if name == "SIGKILL" else ""
    return f"was ended by signal {name}{why}"
