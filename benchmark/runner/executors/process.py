"""One worker process: starting it, sending requests, reading answers, and killing it together with its child processes."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from types import ModuleType
from typing import IO

import psutil

from coterie.tracking.processes import process_tree, tree_memory_bytes

logger = logging.getLogger("coterie.worker")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_TAIL_LINES, _LINE_BYTES = 80, 4096
_DUMP_SECONDS = 30.0  # the longest wait for a dump of the threads, which takes milliseconds unless the machine is busy
_QUIET_SECONDS = 0.3  # a dump is complete when no line has followed for this long
_DUMP_HEADING = "(most recent call first)"  # ends faulthandler's heading of each thread


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_settings(threads: int | None) -> dict[str, str]:
    """The variables that set the number of threads of torch, numba and BLAS. Values set by the user take precedence."""
    return {} if threads is None else {name: os.environ.get(name, str(threads)) for name in THREAD_VARIABLES}


class WorkerProcess:
    """`python -m <module>`, a module that answers lines on stdin, and the two threads that read its output."""

    def __init__(self, module: ModuleType, variables: Mapping[str, str] | None = None) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", module.__name__],  # -P: do not import from the working directory
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"GOMP_SPINCOUNT": "100000", "PYTHONUNBUFFERED": "1", **os.environ, **(variables or {})},
        )
        self._ps = psutil.Process(self._popen.pid)
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._n_lines = 0  # of output so far
        if self._popen.stdout is None or self._popen.stderr is None:
            raise RuntimeError("expected pipes from the worker, got none")
        self._readers = [
            threading.Thread(target=self._read_answers, args=(self._popen.stdout,), daemon=True),
            threading.Thread(target=self._read_output, args=(self._popen.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, line: str) -> None:
        """Send a request. If the worker has ended, nothing happens: `receive` reports it."""
        if self._popen.stdin is None:
            raise RuntimeError("expected a pipe to the worker, got none")
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.write(line.encode() + b"\n")
            self._popen.stdin.flush()

    def receive(self, seconds: float) -> str | None:
        """The next line; None if the worker has ended. Raises `queue.Empty` if none arrives within `seconds`."""
        return self._answers.get(timeout=seconds)

    def memory(self) -> int:
        """Resident bytes of the process and its child processes; 0 if it has ended."""
        return tree_memory_bytes(self._ps)

    def dump_threads(self) -> str:
        """The end of the output, with a current traceback of each thread."""
        if hasattr(signal, "SIGUSR1"):
            before = self._n_lines
            with contextlib.suppress(psutil.Error):
                self._ps.send_signal(signal.SIGUSR1)
            self._await_dump(before, time.monotonic() + _DUMP_SECONDS)
        return self.output()

    def _await_dump(self, before: int, deadline: float) -> None:
        """Wait until tracebacks follow the first `before` lines of output, and no further line arrives."""
        seen, since = before, time.monotonic()
        while time.monotonic() < deadline and self._popen.poll() is None:
            time.sleep(0.02)
            if self._n_lines != seen:
                seen, since = self._n_lines, time.monotonic()
            new = [*self._tail][-(seen - before) :] if seen > before else []
            if any(_DUMP_HEADING in line for line in new) and time.monotonic() - since > _QUIET_SECONDS:
                return

    def output(self) -> str:
        """The end of what the worker and its methods have written to stdout and stderr."""
        return "".join(self._tail)

    def kill(self) -> int:
        """Kill the process and its child processes. Returns the exit code."""
        for process in process_tree(self._ps):
            with contextlib.suppress(psutil.Error):
                process.kill()
        code = self._popen.wait()
        for reader in self._readers:
            reader.join(timeout=1)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        return code

    def _read_answers(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(ValueError):  # the pipe was closed while reading
            for line in pipe:
                self._answers.put(line.decode("utf8", "replace"))
        self._answers.put(None)

    def _read_output(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(ValueError):
            while line := pipe.readline(_LINE_BYTES):
                text = line.decode("utf8", "replace")
                self._tail.append(text)
                self._n_lines += 1
                logger.info("%d: %s", self.pid, text.rstrip())
