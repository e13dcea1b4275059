"""From options to a grid: load the user's methods, check everything, and plan each task once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coterie.benchmark.commands.preflight import check_amounts, check_cells, checked_plan, read_tasks, unranked
from coterie.benchmark.errors import UsageError
from coterie.benchmark.runner.environment import resolve_device
from coterie.tasks.config.text import did_you_mean

if TYPE_CHECKING:
    from coterie.benchmark.commands.run_options import RunOptions
    from coterie.benchmark.runner.grid import Grid


@dataclass(frozen=True)
class Included:
    """The user's files with methods."""

    files: tuple[Path, ...]
    """The files that loaded."""
    methods: tuple[str, ...]
    """The names of their methods."""
    broken: tuple[str, ...]
    """Why the others did not load, one line each."""


def load_included(options: RunOptions, needs_all_files: bool = False) -> Included:
    """Load the files of `--include`.

    A file that does not load raises an `IncludeError`, unless methods were named, which can still run, and `needs_all_files`
    is false.
    """
    from coterie.methods.registry import IncludeError, include

    files, methods, broken = list[Path](), list[str](), list[str]()
    for path in options.include:
        try:
            methods += [cls.name for cls in include(path)]
            files.append(path)
        except IncludeError as error:
            if needs_all_files or not options.methods:
                raise
            broken.append(str(error))
            print(f"error: {error}", file=sys.stderr)
    return Included(tuple(files), tuple(methods), tuple(broken))


def build_grid(
    options: RunOptions, included: Included | None = None, on_task: Callable[[str], None] = lambda _name: None
) -> Grid:
    """Check everything that is to run, plan each task once, and return the grid.

    `on_task` receives the name of each task whose texts are about to be read, which takes minutes the first time. Raises a
    `UsageError`, `TaskError` or `MethodError` if something cannot run.
    """
    from coterie.benchmark.protocol.suites import SUITES
    from coterie.benchmark.runner.executors.base import Limits
    from coterie.benchmark.runner.grid import Grid
    from coterie.methods.registry import get_method

    included = included or load_included(options)
    check_amounts(options)
    if options.suite not in SUITES:
        raise UsageError(f"unknown suite {options.suite!r}{did_you_mean(options.suite, SUITES)}")
    suite = SUITES[options.suite]
    device = resolve_device(options.device)
    selectors = options.methods or (*suite.methods, *included.methods)
    methods = [get_method(selector) for selector in dict.fromkeys(selectors)]
    specs = read_tasks(options.tasks or suite.tasks)
    seeds, budgets = range(options.seeds or suite.seeds), options.budgets or (suite.budget,)
    check_cells(len(specs) * len(methods) * len(budgets) * len(seeds))
    return Grid(
        tasks=[checked_plan(spec, device, options.memory_limit, on_task) for spec in specs],
        methods=methods,
        seeds=seeds,
        budgets=budgets,
        settings=suite.settings,
        overwrite=options.overwrite,
        retry_failed=options.retry_failed,
        fail_fast=options.fail_fast,
        device=device,
        include=included.files,
        n_jobs=options.n_jobs,
        executor=options.executor,
        address=options.address,
        limits=Limits(options.timeout, options.memory_limit),
    )


def warn_unranked(grid: Grid) -> None:
    """Warn on stderr, in one line per task, about results that cannot be ranked for lack of queries."""
    for line in filter(None, map(unranked, grid.tasks)):
        print(f"warning: {line}", file=sys.stderr)
