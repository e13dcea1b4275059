"""One worker process: started, given orders, listened to, killed with all that it started."""

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
from typing import IO

import psutil

logger = logging.getLogger("coterie.worker")

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_TAIL_LINES, _LINE_BYTES = 80, 4096
_DUMP_SECONDS = 30.0  # for a worker to say where it hangs: it takes milliseconds, more where the machine is busy
_QUIET_SECONDS = 0.3  # without another line, it has said all
_DUMPED = "(most recent call first)"  # faulthandler's heading of each thread


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_settings(threads: int | None) -> dict[str, str]:
    """The variables that torch, numba and BLAS read their number of threads from; what the user has set stays."""
    return {} if threads is None else {name: os.environ.get(name, str(threads)) for name in _THREADS}


class WorkerProcess:
    """``python -m coterie.benchmark.runner.worker`` (or another module that serves lines) and the two threads that read it."""

    def __init__(self, variables: Mapping[str, str], module: str = "coterie.benchmark.runner.worker") -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", module],  # -P: no module of the working directory
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"GOMP_SPINCOUNT": "100000", "PYTHONUNBUFFERED": "1", **os.environ, **variables},
        )
        self._ps = psutil.Process(self._popen.pid)
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._lines = 0  # that it has said so far
        if self._popen.stdout is None or self._popen.stderr is None:
            raise RuntimeError("expected pipes to the worker, got none")
        self._readers = [
            threading.Thread(target=self._read_answers, args=(self._popen.stdout,), daemon=True),
            threading.Thread(target=self._read_words, args=(self._popen.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, line: str) -> None:
        """Give an order. A worker that has ended does not get it: that shows in :meth:`answer`."""
        if self._popen.stdin is None:
            raise RuntimeError("expected a pipe to the worker, got none")
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.write(line.encode() + b"\n")
            self._popen.stdin.flush()

    def answer(self, seconds: float) -> str | None:
        """The next line. Raises ``queue.Empty`` where there is none in time; None means that the worker has ended."""
        return self._answers.get(timeout=seconds)

    def memory(self) -> int:
        """Resident bytes of the process and of all that it started; 0 where it has ended."""
        total = 0
        for process in self._family():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def where(self) -> str:
        """Where each thread of the process is at this moment, and what it said before."""
        if hasattr(signal, "SIGUSR1"):
            before = self._lines
            with contextlib.suppress(psutil.Error):
                self._ps.send_signal(signal.SIGUSR1)
            self._await_dump(before, time.monotonic() + _DUMP_SECONDS)
        return self.words()

    def _await_dump(self, before: int, deadline: float) -> None:
        """Wait for the threads' places after the first lines, until no more of them come."""
        seen, since = before, time.monotonic()
        while time.monotonic() < deadline and self._popen.poll() is None:
            time.sleep(0.02)
            if self._lines != seen:
                seen, since = self._lines, time.monotonic()
            new = [*self._tail][-(seen - before) :] if seen > before else []
            if any(_DUMPED in line for line in new) and time.monotonic() - since > _QUIET_SECONDS:
                return

    def words(self) -> str:
        """The end of what it wrote to stdout and stderr."""
        return "".join(self._tail)

    def kill(self) -> int:
        """End the process and all that it started, whatever they do; returns the exit code."""
        for process in self._family():
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

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._ps, *self._ps.children(recursive=True)]
        except psutil.Error:  # it has ended
            return [self._ps]

    def _read_answers(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(ValueError):  # closed while reading
            for line in pipe:
                self._answers.put(line.decode("utf8", "replace"))
        self._answers.put(None)

    def _read_words(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(ValueError):
            while line := pipe.readline(_LINE_BYTES):
                text = line.decode("utf8", "replace")
                self._tail.append(text)
                self._lines += 1
                logger.info("%d: %s", self.pid, text.rstrip())
