"""MLflow without its own output: coterie reports on the store itself."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping

# By default MLflow sends usage data to its makers and prints addresses with their passwords. coterie sends nothing to a
# place that the user did not name. Values set by the user take precedence.
_SILENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@contextlib.contextmanager
def quiet_mlflow() -> Iterator[None]:
    """While active, importing and using MLflow prints nothing and sends no telemetry.

    Log lines below CRITICAL are dropped, since failures also raise. So are deprecation warnings that MLflow causes in
    its own dependencies, on which only MLflow can act.
    """
    with default_environment(_SILENT), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import mlflow  # noqa: F401  (its first import sets the levels of its loggers)

        loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def default_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """While active, set those environment variables that the user has not set."""
    added = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
