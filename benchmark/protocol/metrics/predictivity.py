"""Cross-domain predictivity: do coalitions' activations predict the objective on another domain?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.judged_game import Group
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric, pooled
from coterie.benchmark.protocol.metrics.ridge import fitted, random_controls


class Predictivity(Metric):
    """R2, on the transfer queries, of a ridge regression that is fitted on the held-out queries of the source domain.

    There is one feature per evaluated coalition, its macro-feature: the mean activation of its members over the tokens of a
    pair. The target is the objective: the relevance grade, or the scalar the reranker was trained on. Features and target
    are centred within each query, since differences between queries do not affect rankings. The penalty is chosen by
    cross-validation over the source queries, with no query in two folds. R2 is 1 - SSE / SST: the squared errors over the
    squares of the centred target, each summed over the pairs of the transfer queries.

    Control: the same with equally many random sets of the same sizes, averaged over `controls` draws. A method with few
    coalitions is therefore compared with few random sets.

    After the macro-features of Hedonic Neurons (Chowdhury et al., arXiv 2509.23684).
    """

    name = "ood_r2"
    unit = "R2"
    needs = frozenset({"judgements", "transfer"})
    domains = ("transfer",)
    summary = (
        "R2 of the objective on transfer domains, predicted from coalition activations, above size-matched random sets"
    )

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        method = [c.members for c in answer.evaluated]
        explained = _explained(bench, method)
        by_chance = [_explained(bench, groups) for groups in random_controls(bench, method)]
        parts = [
            Contribution(
                name,
                explained[name],
                np.mean([chance[name] for chance in by_chance], axis=0),
                game.sum_by_query(game.centred(game.labels) ** 2),
            )
            for name, game in bench.transfer.items()
        ]
        return [*parts, pooled("transfer", parts)]


def _explained(bench: Bench, groups: Sequence[Group]) -> dict[str, np.ndarray]:
    """SST - SSE per query, shape (queries,), by transfer domain."""
    source = bench.heldout
    features, target = source.centred(source.macro_features(groups)), source.centred(source.labels)
    weights = fitted(features, target[:, None], source.query_of_pair)[:, 0]
    explained = {}
    for name, game in bench.transfer.items():
        truth = game.centred(game.labels)
        error = truth - game.centred(game.macro_features(groups)) @ weights
        explained[name] = game.sum_by_query(truth**2 - error**2)
    return explained
