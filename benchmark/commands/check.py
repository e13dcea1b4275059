"""`coterie check`: check the methods of a file against the contract in `benchmark/submissions/contract.py`.

The file runs in a worker process, so that a method that hangs, crashes or prints does not affect the command.
"""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from coterie.benchmark.errors import ExitCode, UsageError, exit_on_user_error
from coterie.benchmark.runner.executors.process import WorkerProcess
from coterie.benchmark.submissions import check_worker
from coterie.benchmark.submissions.check_worker import CheckAnswer, CheckRequest
from coterie.benchmark.submissions.contract import CHECKS

_START_SECONDS = 60.0  # to import torch, on top of the time limit of the first check
_MOST_OUTPUT_LINES = 3  # of a worker that ended early


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of one method."""

    method: str
    """Name of the method."""
    check: str
    """Name of the check."""
    problem: str | None
    """What was observed; None if the method passes."""
    seconds: float
    """How long the check took."""


class Checker:
    """Runs the checks of one file in a worker process, and replaces the process if it hangs or crashes."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._path, self._timeout = path, timeout
        self._worker: WorkerProcess | None = None

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def methods(self) -> list[str]:
        """Names of the file's methods. Raises `UsageError` if the file does not load."""
        answer = self._ask(CheckRequest(path=str(self._path)))
        if answer.problem is not None:
            raise UsageError(answer.problem)
        return answer.methods

    def run(self, method: str, check: str) -> Finding:
        """Run one check on one method."""
        started = time.perf_counter()
        answer = self._ask(CheckRequest(path=str(self._path), method=method, check=check))
        return Finding(method, check, answer.problem, time.perf_counter() - started)

    def _ask(self, request: CheckRequest) -> CheckAnswer:
        fresh = self._worker is None
        worker = self._worker = self._worker or WorkerProcess(check_worker)
        worker.send(request.model_dump_json())
        limit = self._timeout + (_START_SECONDS if fresh else 0)
        try:
            line = worker.receive(limit)
        except queue.Empty:
            where = _innermost(worker.dump_threads(), self._path)
            self._end()
            return CheckAnswer(
                problem=f"still running after {self._timeout:g} s{where}; fix: a faster method, or a longer --timeout"
            )
        if line is None:
            output = " / ".join(worker.output().strip().splitlines()[:_MOST_OUTPUT_LINES])
            code = self._end()
            return CheckAnswer(problem=f"its process ended with exit code {code}: {output or 'no output'}")
        return CheckAnswer.model_validate_json(line)

    def _end(self) -> int:
        worker, self._worker = self._worker, None
        return 0 if worker is None else worker.kill()


def check_command(path: Path, timeout: float) -> ExitCode:
    """Print every check with its outcome, and return the exit code."""
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
                    console.print(f"         expected: {check.expects}\n         got:      {finding.problem}")
                    console.print(f"         fix:      {check.fix}")
    console.print(f"{failed} check{'s' if failed > 1 else ''} failed." if failed else "All checks passed.")
    return ExitCode.FAILED if failed else ExitCode.OK


def _innermost(dump: str, path: Path) -> str:
    """The innermost line of the user's file in a traceback by faulthandler, which prints the innermost call first."""
    for line in dump.splitlines():
        if f'{path.name}"' in line and "line " in line:
            return f" (at {path.name}:{line.partition('line ')[2].split()[0]})"
    return ""
