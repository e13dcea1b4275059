"""The kinds of task, and how each is recognised, planned, checked and estimated.

Everything else goes through the interfaces of `task.py`. A new kind needs a specification, a plan and a task class, and an
entry in this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from coterie.tasks.estimate import estimate_reranker_task
from coterie.tasks.planted.task import PlantedPlan, PlantedSpec
from coterie.tasks.reranker_task import plan_reranker_task
from coterie.tasks.task import TaskPlan, TaskSpec
from coterie.tasks.task_check import check_reranker_task
from coterie.tasks.task_spec import RerankerTaskSpec


@dataclass(frozen=True)
class Kind:
    """One kind of task."""

    spec: type[TaskSpec]
    """Class of its specifications."""
    field: str
    """The field of a task file that identifies the kind."""
    plan: Callable[[Any], TaskPlan]
    """Makes a plan; see `plan_task`."""
    check: Callable[[Any, int, str, Mapping[str, int] | None], None]
    """Refuses a task that cannot run; see `check_task`."""
    estimate: Callable[[Any, Mapping[str, int] | None, Callable[[], float]], list[tuple[str, str]]]
    """Estimates the cost of a task; see `estimate_task`."""


PLANTED = Kind(PlantedSpec, "planting", PlantedPlan, lambda *_: None, lambda *_: [])
RERANKER = Kind(RerankerTaskSpec, "reranker", plan_reranker_task, check_reranker_task, estimate_reranker_task)


def kind_of(values: object) -> Kind:
    """The kind of task that the values of a file describe: planted if they have a `planting`, else a reranker's."""
    return PLANTED if isinstance(values, Mapping) and PLANTED.field in values else RERANKER


def spec_of(values: Mapping[str, Any]) -> TaskSpec:
    """Rebuild a specification from the values of `TaskSpec.model_dump`. Raises `pydantic.ValidationError`."""
    return kind_of(values).spec.model_validate(values)


def plan_task(spec: TaskSpec) -> TaskPlan:
    """Determine everything that the task's results depend on, without loading a model. Raises a `TaskError`."""
    return _kind(spec).plan(spec)


def check_task(spec: TaskSpec, memory: int, where: str, query_counts: Mapping[str, int] | None = None) -> None:
    """Refuse a task that cannot run in `memory` bytes of `where` (cpu, cuda, a limit), reading only configurations.

    `query_counts` are those of a plan; without them the upper bounds of the specification are used. Raises a `TaskError`.
    """
    _kind(spec).check(spec, memory, where, query_counts)


def estimate_task(
    spec: TaskSpec, query_counts: Mapping[str, int] | None, flops_per_second: Callable[[], float]
) -> list[tuple[str, str]]:
    """The label and value of each line about the task's size, memory and time. Raises a `TaskError`.

    `flops_per_second` measures this machine; it is called only if the time depends on it.
    """
    return _kind(spec).estimate(spec, query_counts, flops_per_second)


def _kind(spec: TaskSpec) -> Kind:
    return next(kind for kind in (PLANTED, RERANKER) if kind.spec is type(spec))
