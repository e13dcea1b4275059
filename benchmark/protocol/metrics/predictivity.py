"""Cross-domain predictivity: do coalitions' activations predict the objective on another domain?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.judged_game import Group
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric, pooled
from coterie.benchmark.protocol.metrics.ridge import fitted, random_sets


class Predictivity(Metric):
    """R2 of a ridge regression from K macro-features, fitted on the held-out source queries, on transfer queries.

    A macro-feature is the mean activation of a coalition's members over the tokens of a pair. Features and target (the
    objective: the relevance grade, or the scalar one) are taken minus their mean within the query: between queries there
    is nothing to rank. The penalty is chosen by cross-validation over the source queries, no query in two folds. R2 =
    1 - SSE / SST over the pairs of the transfer queries, kept by query. Control: the same with as many random sets of the
    same sizes, R times; so a method that proposes fewer than K coalitions is compared with fewer random ones too.
    After the macro-features of Hedonic Neurons (Chowdhury et al., arXiv 2509.23684).
    """

    name = "ood_r2"
    unit = "R2"
    needs = frozenset({"judgements", "transfer"})
    domains = ("transfer",)
    summary = (
        "R2 of the objective predicted from coalition activations on transfer domains, above size-matched random sets"
    )

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        method = [c.members for c in answer.evaluated]
        controls = [random_sets(bench, [len(g) for g in method], r) for r in range(bench.settings.controls)]
        explained = _explained(bench, method)
        by_chance = [_explained(bench, groups) for groups in controls]
        parts = [
            Contribution(
                name,
                explained[name],
                np.mean([chance[name] for chance in by_chance], axis=0),
                domain.sum_by_query(domain.centred(domain.labels) ** 2),
            )
            for name, domain in bench.transfer.items()
        ]
        return [*parts, pooled("transfer", parts)]


def _explained(bench: Bench, groups: Sequence[Group]) -> dict[str, np.ndarray]:
    """SST - SSE by query [Q] of every transfer domain, for a ridge fitted on the held-out source queries."""
    source = bench.heldout
    features, target = source.centred(source.macro_features(groups)), source.centred(source.labels)
    weights = fitted(features, target[:, None], source.query_of_pair)[:, 0]
    explained = {}
    for name, domain in bench.transfer.items():
        truth = domain.centred(domain.labels)
        error = truth - domain.centred(domain.macro_features(groups)) @ weights
        explained[name] = domain.sum_by_query(truth**2 - error**2)
    return explained
