"""The protocol, the runner and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coterie.tracking.record import Record


def run(output_folder: str | Path = "coterie-out", quiet: bool = True, **options: Any) -> list[Record]:
    """Run a suite as ``coterie run`` does and return the records; options as those of the command, in plural.

    ``run(methods=["random"], seeds=2)``. Raises the errors that the command line shows as one line.
    """
    from coterie.benchmark.commands.run import RunOptions, run_options

    repeatable = {k: tuple(v) for k, v in options.items() if k in ("tasks", "methods", "budgets", "include")}
    repeatable["include"] = tuple(Path(path).expanduser() for path in repeatable.get("include", ()))
    folder = Path(output_folder).expanduser()
    return run_options(RunOptions(output_folder=folder, quiet=quiet, **{**options, **repeatable})).records


def __getattr__(name: str) -> Any:
    """``runs``, ``history``, ``compare`` and ``sync``: what the commands of these names print, as DataFrames."""
    if name in ("compare", "history", "runs", "sync"):
        from importlib import import_module

        return getattr(import_module("coterie.benchmark.results"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["compare", "history", "run", "runs", "sync"]
