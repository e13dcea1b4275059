"""Log lines of coterie on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Literal

LogLevel = Literal["debug", "info", "warning", "error"]
"""The values of `--log-level` and of `COTERIE_LOG_LEVEL`."""


class _Stderr(logging.Handler):
    """Writes to the current `sys.stderr`, which a live view replaces while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


def log_from(level: LogLevel) -> None:
    """Show coterie's log lines of at least this level; a second call changes the level."""
    logger = logging.getLogger("coterie")
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
    logger.setLevel(level.upper())
