"""A board in a few numbers: means over tasks, and two methods head to head. All layers of a reranker count as one task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from coterie.leaderboard.board.types import Board, MetricBoard, TaskBoard
from coterie.leaderboard.statistics.bootstrap import bootstrap_weights, resample

MINIMUM_TASKS = 3
Select = Callable[[TaskBoard], bool]


@dataclass(frozen=True)
class Mean:
    """A mean over tasks, each the mean over its layers, with its bootstrap interval over tasks."""

    value: float
    """The mean."""

    low: float | None
    """Lower end of the interval; None if there are too few tasks."""

    high: float | None
    """Upper end of the interval; None if there are too few tasks."""

    tasks: int
    """Number of tasks."""

    tables: int
    """Number of values over all tasks."""


@dataclass(frozen=True)
class HeadToHead:
    """First against second under one metric. Only significant differences count as wins or losses (Holm)."""

    metric: str
    """Key of the metric, `metric/domain`."""

    wins: int
    """Tables in which the first is significantly better."""

    losses: int
    """Tables in which the first is significantly worse."""

    ties: int
    """Tables in which they do not differ significantly."""

    difference: Mean | None
    """Mean of first minus second; None if no table compares them."""


def mean_over_tasks(values: Sequence[tuple[str, float]]) -> Mean | None:
    """The mean over tasks of the mean of a task's values, given as (task name, value); None without values."""
    by_task: dict[str, list[float]] = defaultdict(list)
    for task, value in values:
        by_task[base_name(task)].append(value)
    if not by_task:
        return None
    means = np.array([np.mean(found) for found in by_task.values()])
    interval = resample(means, np.ones(len(means)), bootstrap_weights(len(means)), minimum=MINIMUM_TASKS).interval()
    return Mean(interval.value, interval.low, interval.high, len(means), len(values))


def base_name(task_name: str) -> str:
    """The task's name without its changes: `pydoc-llama/cqtr` for `pydoc-llama/cqtr[layer=1]`."""
    return task_name.partition("[")[0]


def entry_mean(
    board: Board, key: str, entry: str, field: str = "value", select: Select = lambda _task: True
) -> Mean | None:
    """Mean of a row's field under the metric `metric/domain`, over the selected tasks in which the entry has a value."""
    found = []
    for task, metric in _tables(board, key, select):
        value = getattr(metric.row(entry), field)
        if value is not None:
            found.append((task.task_name, value))
    return mean_over_tasks(found)


def head_to_head(board: Board, key: str, first: str, second: str) -> HeadToHead:
    """Compare two entries over all tables of a metric in which both have a rank."""
    counts, differences = [0, 0, 0], []
    for task, metric in _tables(board, key, lambda _task: True):
        pair = next((c for c in metric.comparisons if {c.first, c.second} == {first, second}), None)
        if pair is None:
            continue
        difference = pair.difference if pair.first == first else -pair.difference
        better = difference > 0 if metric.higher_is_better else difference < 0
        counts[2 if pair.p_holm >= 0.05 else 0 if better else 1] += 1
        differences.append((task.task_name, difference))
    wins, losses, ties = counts
    return HeadToHead(key, wins, losses, ties, mean_over_tasks(differences))


def _tables(board: Board, key: str, select: Select) -> list[tuple[TaskBoard, MetricBoard]]:
    return [(task, m) for task in board.tasks if select(task) for m in task.metrics if m.key == key]
