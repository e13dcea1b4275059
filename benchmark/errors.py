"""Errors that the command line prints as one line, and its exit codes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    """Everything succeeded."""
    FAILED = 1
    """Some cells, checks or files failed; the output names them."""
    USAGE = 2
    """The input is wrong; one line on stderr says what to change."""
    INTERRUPTED = 130
    """Ctrl-C, as shells expect: 128 plus the number of SIGINT."""
    TERMINATED = 143
    """SIGTERM: 128 plus its number."""


class Terminated(BaseException):
    """The process received SIGTERM, which cluster schedulers send before they kill a job."""


class UsageError(ValueError):
    """Wrong input. The message says what was expected, what was found and how to fix it."""


def user_errors() -> tuple[type[Exception], ...]:
    """The errors that users can fix, one base class per room. Their message is one line that says what to change."""
    from coterie.leaderboard.errors import LeaderboardError
    from coterie.methods.base import MethodError
    from coterie.tasks.errors import TaskError
    from coterie.tracking.errors import TrackingError

    return UsageError, TaskError, MethodError, LeaderboardError, TrackingError


def describe_os_error(error: OSError) -> str:
    """What was found instead of the expected file or folder, as in `expected a record, got a folder`."""
    if isinstance(error, IsADirectoryError):
        return "a folder"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, NotADirectoryError) and error.strerror:
        return "a file"
    return (error.strerror or str(error)).lower()


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Print errors that users can fix as one line on stderr and exit with `ExitCode.USAGE`. Others keep their traceback."""
    known = user_errors()
    try:
        yield
    except known as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ExitCode.USAGE)


@contextmanager
def writing(path: Path, fix: str) -> Iterator[None]:
    """Raise `UsageError`, with `fix` as the suggested fix, if the block cannot write `path`."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}; fix: {fix}") from None
