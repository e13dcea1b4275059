"""Objectives: what a reranker is trained and judged on, either the relevance grade or a signal of the two texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from coterie.tasks.collections.types import Candidate
from coterie.tasks.errors import DataError
from coterie.tasks.signals import CollectionStatistics, graded, quintile_edges, signal_values, statistics_of

Objective = Literal["relevance", "cqtr", "mean-tf-l"]


def with_objective(
    rows: Sequence[Candidate], objective: Objective, documents: Iterable[str], edges: np.ndarray | None = None
) -> tuple[list[Candidate], np.ndarray | None]:
    """Set the objective of each pair as its `value`, and its level 0 to 4 as its `grade`; return pairs and level edges.

    nDCG needs grades, so a scalar objective is divided into levels: the quintiles of these pairs, or those given by
    `edges` [4] (a task uses the edges of its discovery pairs for every split). `documents` are the texts over which the
    signals' statistics are counted. The objective `relevance` leaves the pairs unchanged and has no edges.
    """
    if objective == "relevance":
        return list(rows), None
    values = objective_values(rows, objective, statistics_of(documents))
    edges = quintile_edges(values) if edges is None else edges
    levels = graded(values, edges)
    return [replace(p, value=float(v), grade=int(g)) for p, v, g in zip(rows, values, levels, strict=True)], edges


def refuse_constant(objective: Objective, pairs: Mapping[str, Sequence[Candidate]]) -> list[tuple[str, float]]:
    """Return the splits whose pairs all have the same value of the objective, each with this value.

    Raises `DataError` if that holds for every split: there would be nothing to rank, to predict or to agree with.
    """
    constant = [
        (split, rows[0].objective) for split, rows in pairs.items() if len({row.objective for row in rows}) == 1
    ]
    if len(constant) < len(pairs):
        return constant
    got = ", ".join(f"{value:g} for all {len(pairs[split])} of {split}" for split, value in constant)
    raise DataError(
        f"objective {objective}: expected query-document pairs with different values, got {got}; fix: choose another "
        f"objective, or candidates that differ in it"
    )


def agreement(scores: np.ndarray, rows: Sequence[Candidate]) -> tuple[float, float]:
    """R2 and Spearman correlation between the reranker's scores [pairs] and the objective, over all pairs.

    R2 is that of the least-squares line (the squared Pearson correlation), because a reranker's scores have arbitrary
    units. Both are NaN if the scores or the objective are constant.
    """
    from scipy.stats import spearmanr

    values = np.array([p.objective for p in rows])
    if np.ptp(values) == 0 or np.ptp(scores) == 0:
        return float("nan"), float("nan")
    return float(np.corrcoef(scores, values)[0, 1] ** 2), float(spearmanr(scores, values).statistic)


def objective_values(rows: Sequence[Candidate], objective: Objective, statistics: CollectionStatistics) -> np.ndarray:
    """The value of a scalar objective for each pair [pairs]."""
    return signal_values(objective, [(p.query, p.document) for p in rows], statistics)
