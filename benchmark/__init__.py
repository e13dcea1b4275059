"""Run the benchmark from Python, and read the results of earlier runs as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coterie.benchmark.runner.choices import ExecutorName, Overwrite
    from coterie.tracking.record import Record


def run(
    output_folder: str | Path = "coterie-out",
    quiet: bool = True,
    *,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    suite: str = "quick",
    seeds: int | None = None,
    budgets: Sequence[int] = (),
    include: str | Path | Sequence[str | Path] = (),
    device: str = "auto",
    tracking_uri: str | None = None,
    overwrite: Overwrite = "only-missing",
    retry_failed: bool = False,
    fail_fast: bool = False,
    n_jobs: int | None = None,
    executor: ExecutorName = "local",
    address: str | None = None,
    timeout: float | str | None = None,
    memory_limit: int | str | None = None,
) -> list[Record]:
    """Run methods on tasks as `coterie run` does and return the records: `run(methods=["random"], seeds=2)`.

    Raises `UsageError`, `TaskError`, `MethodError` or `TrackingError` if something cannot run; the message says how to fix it.

    Args:
        output_folder: Folder of the records and the MLflow store.
        quiet: Whether to suppress progress output.
        tasks: Task names or paths of task files. Default: the suite's.
        methods: Method names, or `name[parameter=value]`. Default: the suite's.
        suite: Suite that supplies the tasks, methods, seeds and budget that are not given.
        seeds: Number of seeds, 0 to seeds - 1. Default: the suite's.
        budgets: Evaluations that a method may spend, one cell per budget. Default: the suite's.
        include: Python files with methods of your own.
        device: auto, cpu, cuda or mps.
        tracking_uri: MLflow store. Default: MLFLOW_TRACKING_URI, or sqlite in the output folder.
        overwrite: Which cells run: only-missing, always (all) or never (none).
        retry_failed: Whether failed cells run again.
        fail_fast: Whether to stop at the first failed cell.
        n_jobs: Cells that run concurrently. Default: 1; on Ray, as many as the cluster holds.
        executor: local (worker processes), ray, or inline (this process).
        address: Address of the Ray cluster. Default: RAY_ADDRESS, or a cluster on this machine.
        timeout: Seconds after which a cell is killed, or text such as "30m". Default: no limit.
        memory_limit: Bytes above which a cell is killed, or text such as "8GB". Default: no limit.
    """
    arguments = locals()
    from coterie.benchmark.commands.run import run_options
    from coterie.benchmark.commands.run_options import checked_options

    return run_options(checked_options(arguments), needs_all_files=True).records


def __getattr__(name: str) -> Any:
    """Load `runs`, `history`, `compare` or `sync` on first use: the tables that the commands of the same names print."""
    if name in ("compare", "history", "runs", "sync"):
        from importlib import import_module

        return getattr(import_module("coterie.benchmark.results"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["compare", "history", "run", "runs", "sync"]
