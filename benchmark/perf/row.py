"""A row of the performance table: a piece of work, what it is compared with, and whether the target is met."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from coterie.tasks.registry import get_task_spec
from coterie.tasks.task import TaskSpec


@dataclass(frozen=True)
class Row:
    """``met`` is None where nothing could be compared; ``against`` then says why. ``values`` are the bare numbers."""

    work: str
    ours: str
    against: str
    figure: str  # the ratio, or whatever the target is about
    target: str
    met: bool | None
    values: dict[str, Any] = field(default_factory=dict)


def reranker_task(name: str) -> TaskSpec:
    """The task of a reranker by its name."""
    spec = get_task_spec(name)
    if not isinstance(spec, TaskSpec):
        raise SystemExit(f"{name}: expected the task of a reranker; fix: coterie ls tasks shows them")
    return spec
