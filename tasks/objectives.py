"""What a reranker is trained and judged for: the relevance grade, or a signal of the texts as a graded objective."""

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
    """The pairs with their objective as ``value`` and its level 0 to 4 as ``grade``, and the edges of these levels.

    The levels of a scalar objective are its quintiles over these pairs, or those of the ``edges`` given [4] (a task
    takes those of its discovery pairs everywhere): nDCG wants grades. ``documents`` are counted for the signals'
    statistics. Objective ``relevance`` leaves the pairs as they are.
    """
    if objective == "relevance":
        return list(rows), None
    values = objective_values(rows, objective, statistics_of(documents))
    edges = quintile_edges(values) if edges is None else edges
    levels = graded(values, edges)
    return [replace(p, value=float(v), grade=int(g)) for p, v, g in zip(rows, values, levels, strict=True)], edges


def refuse_constant(objective: Objective, pairs: Mapping[str, Sequence[Candidate]]) -> list[tuple[str, float]]:
    """The splits whose pairs all have one value of the objective, with this value.

    Raises ``DataError`` where all splits are such: then there is nothing to rank, to predict or to agree with.
    """
    constant = [
        (split, rows[0].objective) for split, rows in pairs.items() if len({row.objective for row in rows}) == 1
    ]
    if len(constant) < len(pairs):
        return constant
    told = ", ".join(f"{value:g} for all {len(pairs[split])} of {split}" for split, value in constant)
    raise DataError(
        f"objective {objective}: expected query-document pairs that differ in it, got {told}; fix: another objective, or "
        f"candidates of which some have more of it"
    )


def agreement(scores: np.ndarray, rows: Sequence[Candidate]) -> tuple[float, float]:
    """R2 and Spearman correlation of the reranker's scores [pairs] with the objective over all pairs.

    R2 is that of the least-squares line (the squared Pearson correlation): a reranker's scores have units of their own.
    Both are NaN where either side does not vary.
    """
    from scipy.stats import spearmanr

    values = np.array([p.objective for p in rows])
    if np.ptp(values) == 0 or np.ptp(scores) == 0:
        return float("nan"), float("nan")
    return float(np.corrcoef(scores, values)[0, 1] ** 2), float(spearmanr(scores, values).statistic)


def objective_values(rows: Sequence[Candidate], objective: Objective, statistics: CollectionStatistics) -> np.ndarray:
    """A scalar objective of each pair [pairs]."""
    return signal_values(objective, [(p.query, p.document) for p in rows], statistics)
