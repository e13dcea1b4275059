"""MLflow without its chatter: what coterie has to say about the store, it says itself."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping

# MLflow reports its use to its makers and prints addresses, passwords included, unless it is told not to. coterie sends
# nothing anywhere that the user did not name. A value that the user has set stays in force.
_SILENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@contextlib.contextmanager
def quiet_mlflow() -> Iterator[None]:
    """While active, MLflow may be imported and used without a word on stdout, stderr or the network.

    Its log lines below CRITICAL are dropped (a failure raises as well), and so are the deprecation warnings that it
    causes in the libraries it uses, which nobody but MLflow can act on.
    """
    with environment(_SILENT), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import mlflow  # noqa: F401  (the first import sets the levels of its loggers)

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
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set the environment variables that the user has not set; afterwards they are gone again."""
    added = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
