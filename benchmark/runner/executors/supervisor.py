"""Runs one cell after another in a worker process, and survives whatever the process does."""

from __future__ import annotations

import queue
import signal
import time

from pydantic import TypeAdapter, ValidationError

from coterie.benchmark.quantities import format_bytes, format_seconds
from coterie.benchmark.runner import worker
from coterie.benchmark.runner.executors.base import Limits
from coterie.benchmark.runner.executors.process import WorkerProcess, thread_settings
from coterie.benchmark.runner.messages import (
    CellRequest,
    Finished,
    Listener,
    Message,
    NotRun,
    Outcome,
    StepProgress,
    TaskLoaded,
)
from coterie.tracking.record import Failure, Status

_CHECK_SECONDS = 0.1  # between two checks of the limits
_SHORTEST_LOADING_LIMIT = 600.0  # seconds: loading may download, so a short limit on cells does not apply to it
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


class Supervisor:
    """A worker process and its limits. A lost worker costs one cell and is replaced for the next."""

    def __init__(self, limits: Limits, threads: int | None = None) -> None:
        self._limits, self._threads = limits, threads
        self._process: WorkerProcess | None = None
        self._closed = False
        self.task: str | None = None  # the fingerprint of the task that the worker has loaded

    def start(self) -> None:
        """Start a worker unless one is running. Its imports take seconds, so start it before there is work."""
        if self._process is None and not self._closed:
            self._process = WorkerProcess(worker, thread_settings(self._threads))

    @property
    def pid(self) -> int | None:
        """The id of the current worker process, if there is one."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """Kill the worker. May be called from any thread."""
        self._closed = True
        self._drop()

    def run(self, request: CellRequest, listener: Listener) -> Outcome:
        """Run a cell. If the process crashes or exceeds a limit, the record says so."""
        self.start()
        if self._process is None:
            raise RuntimeError("expected an open supervisor, got a closed one")
        cell = _RunningCell(request, self._process, self._limits, listener)
        outcome = cell.run()
        failed = isinstance(outcome, Finished) and outcome.record.status == "failed"
        if cell.lost or (failed and request.device == "cuda"):  # a kernel error makes a process lose its GPU
            self._drop()
        else:
            self.task = request.identity.task_fingerprint
        return outcome

    def _drop(self) -> None:
        process, self._process, self.task = self._process, None, None
        if process is not None:
            process.kill()


class _RunningCell:
    """One cell in a worker process. `lost` says whether the process was killed or has ended."""

    def __init__(self, request: CellRequest, process: WorkerProcess, limits: Limits, listener: Listener) -> None:
        self._request, self._process, self._limits, self._listener = request, process, limits, listener
        self._loaded: TaskLoaded | None = None
        self._at = StepProgress(step="starting")
        self._peak = process.memory()  # before the request: the cell may crash before the first check
        self._started = time.monotonic()
        self.lost = False

    def run(self) -> Outcome:
        self._process.send(self._request.model_dump_json())
        checked = 0.0
        while True:
            if time.monotonic() - checked > _CHECK_SECONDS:
                checked = time.monotonic()
                stopped = self._stop_over_limit()
                if stopped is not None:
                    return stopped
            try:
                line = self._process.receive(_CHECK_SECONDS)
            except queue.Empty:
                continue
            if line is None:
                return self._crashed()
            try:
                message = _MESSAGE.validate_json(line)
            except ValidationError:
                return self._lose("failed", f"its process sent an invalid message: {line[:200]!r}")
            if isinstance(message, Finished | NotRun):
                return message
            if isinstance(message, TaskLoaded):
                self._loaded, self._started = message, time.monotonic()
                self._peak = self._process.memory() or self._peak  # it may have crashed in the meantime
            elif isinstance(message, StepProgress):
                self._at = message
            self._listener.updated(self._request, message)

    def _stop_over_limit(self) -> Outcome | None:
        """Kill the process if it exceeds a limit."""
        memory, spent = self._process.memory(), time.monotonic() - self._started
        self._peak = max(self._peak, memory)
        most, seconds = self._limits.memory, self._limits.seconds
        if most is not None and memory > most:
            return self._lose("failed", f"used {format_bytes(memory)} of memory; the limit is {format_bytes(most)}")
        if seconds is None:
            return None
        if self._loaded is None:
            seconds = max(seconds, _SHORTEST_LOADING_LIMIT)
        if spent > seconds:
            trace = self._process.dump_threads()
            return self._lose("timeout", f"not finished within {format_seconds(seconds)}", trace)
        return None

    def _crashed(self) -> Outcome:
        code = self._process.kill()
        what = f"its process {_describe_exit(code)}, having used {format_bytes(self._peak)} of memory"
        return self._lose("failed", what, code=code)

    def _lose(self, status: Status, what: str, trace: str | None = None, code: int | None = None) -> Outcome:
        """Give up the process. The cell gets a record, or none if the task was not loaded yet."""
        self.lost = True
        seconds = time.monotonic() - self._started
        if code is None:
            self._process.kill()
        trace = (self._process.output() if trace is None else trace) or None
        reason = f"{what}; it was {self._at.step}"
        if self._loaded is None:
            return NotRun.of(self._request, reason, trace)
        failure = Failure(
            phase=self._at.step,
            seconds=seconds,
            peak_memory_bytes=self._peak or None,
            evaluations={"evaluations": self._at.count} if self._at.count else {},
            exit_code=code,
        )
        record = self._request.record(
            self._loaded.task, self._loaded.environment, status=status, reason=reason, trace=trace, failure=failure
        )
        return Finished(record=record)


def _describe_exit(code: int) -> str:
    """How a process ended, from its exit code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    why = " (by someone, or by the system for lack of memory)" if name == "SIGKILL" else ""
    return f"was ended by signal {name}{why}"
