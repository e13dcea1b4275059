"""Alignment: do coalitions' activations follow classical IR signals?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.judged_game import Group
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric
from coterie.benchmark.protocol.metrics.ridge import fitted, folds, random_sets

SIGNALS = ("bm25", "sum-idf", "cqtr", "sum-tf", "document-length")


class Alignment(Metric):
    """R2 of ridge regressions from K macro-features to BM25, sum of IDF, coverage, term frequency and document length.

    Macro-features and controls are those of ``ood_r2``, on the held-out queries; features and signals
    (:mod:`coterie.tasks.signals`) are taken minus their mean within the query. Nested cross-validation: five folds of
    queries, each predicted by a ridge fitted on the others, its penalty chosen by five folds among those; no query is on
    both sides anywhere. R2 = 1 - SSE / SST of these predictions, by signal, and ``heldout``: the mean of the five, each
    with the weight 1. It may be negative: worse than the mean of the query.

    Deviations from the paper: out-of-fold predictions, so that more features alone raise nothing; several signals.
    """

    name = "alignment_r2"
    unit = "R2"
    needs = frozenset({"judgements"})
    summary = "R2 of classical IR signals predicted from coalition activations, above size-matched random sets"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        domain, method = bench.heldout, [c.members for c in answer.evaluated]
        signals = np.stack([domain.centred(bench.signals[name]) for name in SIGNALS], axis=1)
        controls = [random_sets(bench, [len(g) for g in method], r) for r in range(bench.settings.controls)]
        own = _explained(bench, method, signals)
        chance = np.mean([_explained(bench, groups, signals) for groups in controls], axis=0)
        total = _by_query(bench, signals**2)
        parts = [Contribution(n, *columns) for n, *columns in zip(SIGNALS, own.T, chance.T, total.T, strict=True)]
        varies = total.sum(0) > 0
        share = 1 / total[:, varies].sum(0)  # so that each signal that varies here counts the same
        mean = (
            [(rows[:, varies] * share).mean(1) for rows in (own, chance, total)] if varies.any() else [total.sum(1)] * 3
        )
        return [*parts, Contribution("heldout", *mean)]


def _explained(bench: Bench, groups: Sequence[Group], signals: np.ndarray) -> np.ndarray:
    """SST - SSE of out-of-fold predictions of signals [pairs, S], by query [Q, S]."""
    domain = bench.heldout
    features, queries = domain.centred(domain.macro_features(groups)), domain.query_of_pair
    error = np.empty_like(signals)
    for train, test in folds(queries):
        error[test] = signals[test] - features[test] @ fitted(features[train], signals[train], queries[train])
    return _by_query(bench, signals**2 - error**2)


def _by_query(bench: Bench, values: np.ndarray) -> np.ndarray:
    return np.stack([bench.heldout.sum_by_query(column) for column in values.T], axis=1)
