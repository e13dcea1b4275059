"""Alignment: do coalitions' activations follow classical IR signals?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.judged_game import Group
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric
from coterie.benchmark.protocol.metrics.ridge import fitted, folds, random_controls

SIGNALS = ("bm25", "sum-idf", "cqtr", "sum-tf", "document-length")


class Alignment(Metric):
    """R2 of ridge regressions that predict classical IR signals from the coalitions' activations, on the held-out queries.

    The signals are BM25, the sum of IDF over the matched terms, the covered query term ratio, the sum of term frequencies,
    and the document length. There is one feature per evaluated coalition: the mean activation of its members over the
    tokens of a pair. Features and signals are centred within each query. The cross-validation is nested: each of five folds
    of queries is predicted by a ridge regression fitted on the others, whose penalty is chosen by five folds of those. No
    query is ever on both sides.

    R2 is 1 - SSE / SST: the squared errors of these predictions over the squares of the centred signal, each summed over
    the pairs. It is negative if the predictions are worse than the mean of the query. It is reported per signal; `heldout`
    is the mean over the signals that vary.

    Control: the same with equally many random sets of the same sizes, averaged over `controls` draws.

    Deviations from the paper: several signals instead of one; out-of-fold predictions, so that R2
    does not rise merely because there are more features.
    """

    name = "alignment_r2"
    unit = "R2"
    needs = frozenset({"judgements"})
    summary = "R2 of classical IR signals predicted from coalition activations, above size-matched random sets"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        method = [c.members for c in answer.evaluated]
        signals = np.stack([bench.heldout.centred(bench.signals[name]) for name in SIGNALS], axis=1)
        own = _explained(bench, method, signals)
        chance = np.mean([_explained(bench, groups, signals) for groups in random_controls(bench, method)], axis=0)
        total = bench.heldout.sum_by_query(signals**2)
        parts = [Contribution(n, *columns) for n, *columns in zip(SIGNALS, own.T, chance.T, total.T, strict=True)]
        varies = total.sum(0) > 0
        share = 1 / total[:, varies].sum(0)  # so that every signal that varies has the same weight
        mean = (
            [(rows[:, varies] * share).mean(1) for rows in (own, chance, total)] if varies.any() else [total.sum(1)] * 3
        )
        return [*parts, Contribution("heldout", *mean)]


def _explained(bench: Bench, groups: Sequence[Group], signals: np.ndarray) -> np.ndarray:
    """SST - SSE of out-of-fold predictions of signals (pairs, signals), shape (queries, signals)."""
    game = bench.heldout
    features, queries = game.centred(game.macro_features(groups)), game.query_of_pair
    error = np.empty_like(signals)
    for train, test in folds(queries):
        error[test] = signals[test] - features[test] @ fitted(features[train], signals[train], queries[train])
    return game.sum_by_query(signals**2 - error**2)
