"""The user's mistakes: what the command line shows as one line with exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UsageError(ValueError):
    """Wrong input; the text says what was expected, what was got and how to fix it."""


def user_errors() -> tuple[type[Exception], ...]:
    """The errors that speak to the user, one base class per room: their text is one line that says what to change."""
    from coterie.leaderboard.errors import LeaderboardError
    from coterie.methods.base import MethodError
    from coterie.tasks.errors import TaskError
    from coterie.tracking.errors import TrackingError

    return UsageError, TaskError, MethodError, LeaderboardError, TrackingError


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Turn errors that speak to the user into one line on stderr and exit code 2. Others keep their traceback."""
    known = user_errors()
    try:
        yield
    except known as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
