"""The overall table: mean rank over all ranked tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.leaderboard.board.summary import MINIMUM_TASKS, base_name
from coterie.leaderboard.board.types import Column, MeanCost, MetricBoard, Overall, OverallRow, TaskBoard
from coterie.leaderboard.statistics.bootstrap import bootstrap_weights, resample

Ranked = tuple[TaskBoard, MetricBoard]


def compile_overall(labels: Sequence[str], tasks: Sequence[TaskBoard]) -> Overall:
    """Entries by mean rank; those without a rank in some column come last, with the reason.

    The mean is over the middles of the places that each table allows an entry, from 1 + the number of significantly better
    entries to the number of entries minus the significantly worse ones: a method that is measured too imprecisely to differ
    from any other is in the middle, not first.

    The interval is a bootstrap over tasks, not over columns: the metrics of one task are not independent, nor are the
    layers of one reranker, which count as one task. It needs at least 3 tasks.
    """
    ranked = [(task, metric) for task in tasks for metric in task.ranked if metric.note is None]
    rows = [_row(label, tasks, ranked, len(labels)) for label in labels]
    infinity = float("inf")
    return Overall(
        columns=[Column(task_name=task.task_name, metric=m.metric, domain=m.domain) for task, m in ranked],
        rows=sorted(rows, key=lambda row: (infinity if row.mean_rank is None else row.mean_rank, row.entry)),
        note=_note(tasks, ranked),
    )


def _note(tasks: Sequence[TaskBoard], ranked: Sequence[Ranked]) -> str | None:
    n_tasks = len({base_name(task.task_name) for task, _ in ranked})
    notes = []
    if not ranked:
        notes.append("Nothing is ranked yet.")
    elif n_tasks < MINIMUM_TASKS:
        notes.append(f"No interval for the mean rank: it needs at least {MINIMUM_TASKS} tasks.")
    if len({task.protocol for task in tasks}) > 1:
        notes.append("The tasks were scored under different protocols: compare ranks across them with care.")
    return " ".join(notes) or None


def _row(label: str, tasks: Sequence[TaskBoard], ranked: Sequence[Ranked], last: int) -> OverallRow:
    found = [metric.row(label) for _, metric in ranked]
    ranks = [row.rank for row in found]
    middles = [row.middle_rank for row in found if row.middle_rank is not None]
    reason = _reason(label, tasks)
    costs = [cost for task in tasks if task.ranked and (cost := task.ranked[0].row(label).cost)]
    mean_rank = low = high = None
    if ranked and reason is None and len(middles) == len(ranks):
        mean_rank, low, high = _mean_rank(middles, [base_name(task.task_name) for task, _ in ranked], last)
    return OverallRow(
        entry=label, mean_rank=mean_rank, low=low, high=high, ranks=ranks, cost=MeanCost.mean(costs), reason=reason
    )


def _reason(label: str, tasks: Sequence[TaskBoard]) -> str | None:
    """The first problem that keeps the entry from being ranked, and the number of others."""
    problems = []
    for task in tasks:
        if not task.ranked:
            problems.append(f"{task.task_name}: no result")
        for metric in task.ranked:
            row = metric.row(label)
            if metric.note is None and row.rank is None:
                problem = f"{task.task_name}: {row.reason}"
                if problem not in problems:
                    problems.append(problem)
    if not problems:
        return None
    return problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")


def _mean_rank(
    ranks: Sequence[float], task_names: Sequence[str], last: int
) -> tuple[float, float | None, float | None]:
    """`sum_t (ranks of t) / sum_t (columns of t)` with its interval over resampled tasks, clipped to 1 and the `last` place."""
    tasks = sorted(set(task_names))
    sums = np.array([sum(r for r, t in zip(ranks, task_names, strict=True) if t == task) for task in tasks], float)
    counts = np.array([task_names.count(task) for task in tasks], float)
    interval = resample(sums, counts, bootstrap_weights(len(tasks)), minimum=MINIMUM_TASKS).interval()
    if interval.low is None or interval.high is None:
        return interval.value, None, None
    return interval.value, max(1.0, interval.low), min(float(last), interval.high)
