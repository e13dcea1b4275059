"""A board in a few numbers: means over tasks, and two methods head to head. Layers of a reranker are one task here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from coterie.leaderboard.board.types import Board, MetricBoard, Row, TaskBoard
from coterie.leaderboard.statistics.bootstrap import bootstrap_weights, resample

MINIMUM_TASKS = 3
Select = Callable[[TaskBoard], bool]


@dataclass(frozen=True)
class Mean:
    """A mean over tasks (each the mean over its layers) with its bootstrap interval over tasks, and what went into it."""

    value: float
    low: float | None
    high: float | None
    tasks: int
    tables: int


@dataclass(frozen=True)
class HeadToHead:
    """First minus second under one metric: how often it is significant (Holm, within each table), and the mean difference."""

    metric: str
    wins: int
    losses: int
    ties: int
    difference: Mean | None


def mean_over_tasks(values: Sequence[tuple[str, float]]) -> Mean | None:
    """The mean over tasks of the mean of a task's values, given as (task name, value). None of nothing."""
    by_task: dict[str, list[float]] = defaultdict(list)
    for task, value in values:
        by_task[base_name(task)].append(value)
    if not by_task:
        return None
    means = np.array([np.mean(found) for found in by_task.values()])
    interval = resample(means, np.ones(len(means)), bootstrap_weights(len(means)), minimum=MINIMUM_TASKS).interval()
    return Mean(interval.value, interval.low, interval.high, len(means), len(values))


def base_name(task_name: str) -> str:
    """The task without what was changed of it: ``pydoc-llama/cqtr`` of ``pydoc-llama/cqtr[layer=1]``."""
    return task_name.partition("[")[0]


def entry_mean(
    board: Board, key: str, entry: str, field: str = "value", select: Select = lambda _task: True
) -> Mean | None:
    """Mean of a row's field under the metric ``metric/domain`` over the selected tasks where the entry has one."""
    found = []
    for task, metric in _tables(board, key, select):
        value = getattr(_row(metric, entry), field)
        if value is not None:
            found.append((task.task_name, value))
    return mean_over_tasks(found)


def head_to_head(board: Board, key: str, first: str, second: str) -> HeadToHead:
    """Compare two entries over all tables of a metric where both have a rank."""
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


def _row(metric: MetricBoard, entry: str) -> Row:
    return next(row for row in metric.rows if row.entry == entry)
