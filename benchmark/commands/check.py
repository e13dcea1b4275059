"""``coterie check``: what every method must do (:mod:`coterie.benchmark.submissions.contract`), asked of the methods of a file.

The file runs in a worker process: one that hangs, crashes or prints does not take the command with it.
"""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.benchmark.runner.executors.process import WorkerProcess
from coterie.benchmark.submissions.check_worker import CheckAnswer, CheckOrder
from coterie.benchmark.submissions.contract import CHECKS

_START_SECONDS = 60.0  # for importing torch, whatever the time limit of a check
_WORDS_LINES = 3  # of what a worker said at its end


@dataclass(frozen=True)
class Finding:
    """One check of one method: ``problem`` is None where it passed."""

    method: str
    check: str
    problem: str | None
    seconds: float


class Checker:
    """Runs checks of one file in a worker, which is killed and replaced where it hangs or crashes."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._path, self._timeout = path, timeout
        self._worker: WorkerProcess | None = None

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def methods(self) -> list[str]:
        """The methods of the file. Raises ``UsageError`` where it does not load."""
        answer = self._ask(CheckOrder(path=str(self._path)))
        if answer.problem is not None:
            raise UsageError(answer.problem)
        return answer.methods

    def run(self, method: str, check: str) -> Finding:
        started = time.perf_counter()
        answer = self._ask(CheckOrder(path=str(self._path), method=method, check=check))
        return Finding(method, check, answer.problem, time.perf_counter() - started)

    def _ask(self, order: CheckOrder) -> CheckAnswer:
        fresh = self._worker is None
        worker = self._worker = self._worker or WorkerProcess({}, "coterie.benchmark.submissions.check_worker")
        worker.send(order.model_dump_json())
        limit = self._timeout + (_START_SECONDS if fresh else 0)
        try:
            line = worker.answer(limit)
        except queue.Empty:
            where = _innermost(worker.where(), self._path)
            self._end()
            return CheckAnswer(problem=f"did not end within {self._timeout:g} s{where}; fix: --timeout for more")
        if line is None:
            words = " / ".join(worker.words().strip().splitlines()[:_WORDS_LINES])
            code = self._end()
            return CheckAnswer(problem=f"its process ended with exit code {code}: {words or 'it said nothing'}")
        return CheckAnswer.model_validate_json(line)

    def _end(self) -> int:
        worker, self._worker = self._worker, None
        return 0 if worker is None else worker.kill()


def check_command(path: Path, timeout: float) -> int:
    """Print every check with its outcome; 1 where one fails, 2 where the file does not load."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    failed = 0
    with exit_on_user_error(), Checker(path, timeout) as checker:
        for method in checker.methods():
            console.print(f"{path}: {method}")
            for name, check in CHECKS.items():
                finding = checker.run(method, name)
                console.print(f"  {'ok    ' if finding.problem is None else 'FAILED'} {name} ({finding.seconds:.1f} s)")
                if finding.problem is not None:
                    failed += 1
                    console.print(f"         asked: {check.asks}\n         seen:  {finding.problem}")
                    console.print(f"         fix:   {check.fix}")
    console.print(f"{failed} checks failed." if failed else "All checks passed.")
    return 1 if failed else 0


def _innermost(dump: str, path: Path) -> str:
    """The line of the user's file in faulthandler's dump of all threads, innermost first."""
    for line in dump.splitlines():
        if f'{path.name}"' in line and "line " in line:
            return f" (it was at {path.name}:{line.partition('line ')[2].split()[0]})"
    return ""
