"""Checks before any work: amounts, task names, what the tasks need, and whether results can be ranked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from coterie.benchmark.errors import UsageError

if TYPE_CHECKING:
    from coterie.benchmark.commands.run_options import RunOptions
    from coterie.tasks.task import TaskPlan, TaskSpec

MOST_SEEDS = 1000
MOST_BUDGETS = 100
MOST_BUDGET = 10**9  # evaluations: eleven days at a thousand per second
MOST_CELLS = 100_000
_JOBS_PER_CORE = 16
_JOBS_PER_CLUSTER = 10_000


def check_amounts(options: RunOptions) -> None:
    """Refuse numbers that can only be mistakes. Raises `UsageError`."""
    if options.executor == "local":
        most_jobs = _JOBS_PER_CORE * (os.cpu_count() or 1)
        why = f"{_JOBS_PER_CORE} per core; each is a process with its own copy of the model"
    else:
        most_jobs, why = _JOBS_PER_CLUSTER, "no cluster runs more concurrently"
    limits = [
        ("--seeds", options.seeds, MOST_SEEDS, "each is a cell, and intervals hardly change beyond a few dozen"),
        ("-j", options.n_jobs, most_jobs, why),
        ("--budgets", len(options.budgets) or None, MOST_BUDGETS, "numbers in the list, each with its own cells"),
        *(("--budget", budget, MOST_BUDGET, "evaluations; more would take weeks") for budget in options.budgets),
    ]
    for name, value, most, reason in limits:
        if value is not None and not 1 <= value <= most:
            fix = "a smaller number" if value > most else f"{name} 1"
            raise UsageError(f"{name}: expected 1 to {most:,} ({reason}), got {value:,}; fix: {fix}")


def check_cells(cells: int) -> None:
    """Refuse a grid too large to finish. Raises `UsageError`."""
    if cells > MOST_CELLS:
        raise UsageError(
            f"expected at most {MOST_CELLS:,} cells (tasks x methods x budgets x seeds; each takes at least seconds), got "
            f"{cells:,}; fix: several runs into one output folder, or fewer seeds or budgets"
        )


def read_tasks(selectors: Sequence[str]) -> list[TaskSpec]:
    """The specifications of the selected tasks; a task that is selected twice appears once.

    Raises `UsageError` for different tasks with the same name, whose results would be mistaken for each other's.
    """
    from coterie.tasks.registry import get_task_spec

    found: dict[str, tuple[str, TaskSpec]] = {}
    for selector in dict.fromkeys(selectors):
        spec = get_task_spec(selector)
        first, other = found.setdefault(spec.name.casefold(), (selector, spec))
        if other.model_dump() != spec.model_dump():
            raise UsageError(
                f"-t: expected tasks with different names, got {spec.name!r} from {first} and from {selector}; fix: another name "
                f"in one of the files"
            )
    return [spec for _, spec in found.values()]


def checked_plan(
    spec: TaskSpec, device: str, limit: int | None, on_task: Callable[[str], None] = lambda _name: None
) -> TaskPlan:
    """Plan a task after checking that its reranker is available, its texts suffice and it fits into memory.

    `limit` is the value of `--memory-limit` in bytes. `on_task` receives the task's name before its texts are read and
    tokenized; what was read stays in the cache. Raises a `TaskError` that names the task's file.
    """
    from coterie.benchmark.runner.environment import available_memory
    from coterie.tasks.kinds import check_task, plan_task

    available = available_memory(device)
    memory, where = (available, device) if limit is None or limit > available else (limit, "--memory-limit")
    with _naming_the_file_of(spec):
        check_task(spec, memory, where)
        if spec.group != "planted":  # a planted task has no texts
            on_task(spec.name)
        plan = plan_task(spec)
        check_task(spec, memory, where, plan.query_counts)
    return plan


@contextmanager
def _naming_the_file_of(spec: TaskSpec) -> Iterator[None]:
    """Prefix the errors of a task with the name of its file."""
    from coterie.tasks.errors import DataError, RerankerError
    from coterie.tasks.registry import list_tasks

    try:
        yield
    except (DataError, RerankerError) as error:
        source = spec.origin.source
        if spec.name in list_tasks() or not source.endswith((".yaml", ".yml")) or str(error).startswith(source):
            raise
        raise type(error)(f"{source}: {error}") from None


def unranked(plan: TaskPlan) -> str | None:
    """One line on what cannot be ranked on a task for lack of queries; None if everything can."""
    from coterie.leaderboard.statistics.bootstrap import MINIMUM_QUERIES

    counts = plan.query_counts
    transfer = [count for split, count in counts.items() if split not in ("discovery", "heldout")]
    few = [f"heldout has {counts['heldout']}"] if counts["heldout"] < MINIMUM_QUERIES else []
    if transfer and sum(transfer) < MINIMUM_QUERIES:
        few.append(f"transfer has {sum(transfer)} in all its domains")
    if not few:
        return None
    return (
        f"{plan.name}: expected at least {MINIMUM_QUERIES} queries for a ranking, {' and '.join(few)}: results on these "
        f"queries get no interval and no rank; fix: more queries"
    )
