"""What is checked of a run before any work: amounts, names, what the tasks need, and whether there will be a ranking."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from coterie.benchmark.errors import UsageError

if TYPE_CHECKING:
    from coterie.benchmark.commands.run import RunOptions
    from coterie.benchmark.runner.loading import AnySpec
    from coterie.tasks.task import TaskSpec

MOST_SEEDS = 1000
MOST_BUDGETS = 100
MOST_BUDGET = 10**9  # evaluations: at a thousand a second they take eleven days
MOST_CELLS = 100_000
_JOBS_A_CORE = 16


def check_amounts(options: RunOptions) -> None:
    """Refuse numbers that can only be mistakes. Raises ``UsageError``."""
    jobs, why = 10_000, "no cluster holds more at once"
    if options.executor == "local":
        jobs, why = (
            _JOBS_A_CORE * (os.cpu_count() or 1),
            f"{_JOBS_A_CORE} a core; each is a process with a model of its own",
        )
    limits = [
        (
            "--seeds",
            options.seeds,
            MOST_SEEDS,
            "each is a cell of its own, and intervals hardly change beyond a few dozen",
        ),
        ("-j", options.n_jobs, jobs, why),
        ("--budgets", len(options.budgets) or None, MOST_BUDGETS, "numbers in the list, each a run of its own"),
        *(("--budget", budget, MOST_BUDGET, "evaluations, more than run in a week") for budget in options.budgets),
    ]
    for name, value, most, reason in limits:
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{name}: expected 1 to {most:,} ({reason}), got {value:,}; fix: a smaller number")


def check_cells(cells: int) -> None:
    """Refuse a grid that nobody will see the end of. Raises ``UsageError``."""
    if cells > MOST_CELLS:
        raise UsageError(
            f"expected at most {MOST_CELLS:,} cells (tasks x methods x budgets x seeds; one takes seconds at least), got "
            f"{cells:,}; fix: several runs into one output folder, or fewer seeds or budgets"
        )


def tasks_of(selectors: Sequence[str]) -> list[AnySpec]:
    """The specifications that the selectors mean, one that is named twice once.

    Raises ``UsageError`` for different tasks of one name: their results would be taken for each other's.
    """
    from coterie.tasks.registry import get_task_spec

    found: dict[str, tuple[str, AnySpec]] = {}
    for selector in dict.fromkeys(selectors):
        spec = get_task_spec(selector)
        first, other = found.setdefault(spec.name.casefold(), (selector, spec))
        if other.model_dump() != spec.model_dump():
            raise UsageError(
                f"-t: expected tasks of different names, got {spec.name!r} from {first} and from {selector}; fix: another name "
                f"in one of the files"
            )
    return [spec for _, spec in found.values()]


def check_available(spec: AnySpec, device: str, limit: int | None) -> None:
    """A reranker must be there or in reach, fit its task and into memory, and the texts must be there and be enough.

    Raises an error of one line that names the task's file. The texts are read and tokenized here, once for all: what was
    read is in the cache.
    """
    from coterie.benchmark.runner.environment import memory_of
    from coterie.tasks.memory import check_fits
    from coterie.tasks.planted.task import PlantedSpec
    from coterie.tasks.rerankers.checkpoint import describe
    from coterie.tasks.task import plan_task
    from coterie.tasks.task_check import check_task, with_one_count

    if isinstance(spec, PlantedSpec):
        return
    there = memory_of(device)
    memory, where = (there, device) if limit is None or limit > there else (limit, "--memory-limit")
    with _of_its_file(spec):
        size = describe(spec.reranker)
        check_task(spec, size)
        check_fits(with_one_count(spec, spec.data.most_queries()), size, memory, where)
        plan_task(spec)
        if None in spec.data.most_queries().values():
            check_fits(with_one_count(spec, dict(queries_of(spec))), size, memory, where)


@contextmanager
def _of_its_file(spec: TaskSpec) -> Iterator[None]:
    """Begin the errors of a task with the file that it was read from."""
    from coterie.tasks.errors import DataError, RerankerError
    from coterie.tasks.registry import list_tasks

    try:
        yield
    except (DataError, RerankerError) as error:
        source = spec.origin.source
        if spec.name in list_tasks() or not source.endswith((".yaml", ".yml")) or str(error).startswith(source):
            raise
        raise type(error)(f"{source}: {error}") from None


def queries_of(spec: TaskSpec) -> dict[str, int]:
    """How many queries each split has; where the specification does not say, the texts are read."""
    from coterie.tasks.task import plan_task

    data = spec.data
    known = {split: count for split, count in data.most_queries().items() if count is not None}
    if all(isinstance(data.transfer_count(domain.name), int) for domain in data.transfer):
        return known
    return {split: len({pair.query_id for pair in pairs}) for split, pairs in plan_task(spec).pairs.items()}


def unranked(spec: AnySpec) -> str | None:
    """One line on what cannot be ranked of a task, for lack of queries; None where all can."""
    from coterie.leaderboard.statistics.bootstrap import MINIMUM_QUERIES
    from coterie.tasks.planted.task import PlantedSpec

    counts = {"heldout": spec.queries} if isinstance(spec, PlantedSpec) else queries_of(spec)
    transfer = [count for split, count in counts.items() if split not in ("discovery", "heldout")]
    few = [f"heldout has {counts['heldout']}"] if counts["heldout"] < MINIMUM_QUERIES else []
    if transfer and sum(transfer) < MINIMUM_QUERIES:
        few.append(f"transfer has {sum(transfer)} in all its domains")
    if not few:
        return None
    return (
        f"{spec.name}: expected at least {MINIMUM_QUERIES} queries for a ranking, {' and '.join(few)}: what is measured there "
        f"gets no interval and no rank; fix: more queries"
    )
