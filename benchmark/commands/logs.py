"""Log lines of coterie on stderr, from a level on."""

from __future__ import annotations

import logging
import sys


class _Stderr(logging.Handler):
    """Whatever ``sys.stderr`` is when a line comes: a live view puts its own there while it is on."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


def log_from(level: str) -> None:
    """Show coterie's log lines from this level on; a second call changes the level."""
    logger = logging.getLogger("coterie")
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(level.upper())
