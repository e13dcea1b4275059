"""The user's mistakes: what the command line shows as one line with exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UsageError(ValueError):
    """Wrong input; the text says what was expected, what was got and how to fix it."""


def user_errors() -> tuple[type[Exception], ...]:
    """The errors that speak to the user: their text is one line that says what to change."""
    from coterie.methods.base import MethodError
    from coterie.tasks.architectures import UnknownArchitectureError
    from coterie.tasks.checkpoint import RerankerError
    from coterie.tasks.collections.types import DataError
    from coterie.tasks.game import AdditiveReadoutError
    from coterie.tasks.registry import TaskFileError, UnknownTaskError
    from coterie.tasks.training.spec import TrainingError
    from coterie.tracking.database import TrackingError
    from coterie.tracking.store import StoreError

    return (
        UsageError,
        MethodError,
        UnknownTaskError,
        TaskFileError,
        DataError,
        RerankerError,
        TrainingError,
        UnknownArchitectureError,
        AdditiveReadoutError,
        StoreError,
        TrackingError,
    )


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Turn errors that speak to the user into one line on stderr and exit code 2. Others keep their traceback."""
    known = user_errors()
    try:
        yield
    except known as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
