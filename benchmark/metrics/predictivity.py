"""Cross-domain predictivity: do coalitions' activations predict the objective on another domain?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from coterie.benchmark.bench import Bench, Domain, Evaluated, Group
from coterie.benchmark.metrics.ablation import pooled
from coterie.benchmark.metrics.base import Contribution, Metric

PENALTIES = np.logspace(-1, 5, 13)  # features are standardised; a few hundred pairs to a few thousand


class Predictivity(Metric):
    """R2 of a ridge regression from K macro-features, fitted on the held-out source queries, on transfer queries.

    A macro-feature is the mean activation of a coalition's members over the tokens of a pair. Features and target (the
    objective: the relevance grade, or the scalar one) are taken minus their mean within the query: between queries there
    is nothing to rank. The penalty is chosen by cross-validation over the source queries, no query in two folds. R2 =
    1 - SSE / SST over the pairs of the transfer queries, kept by query. Control: the same with as many random sets of the
    same sizes, R times. After the macro-features of Hedonic Neurons (Chowdhury et al., arXiv 2509.23684).
    """

    name = "ood_r2"
    unit = "R2"
    needs = frozenset({"judgements", "transfer"})
    ranked_domains = ("transfer",)
    summary = (
        "R2 of the objective predicted from coalition activations on transfer domains, above size-matched random sets"
    )

    def measure(self, bench: Bench, coalitions: Sequence[Evaluated]) -> list[Contribution]:
        method = [c.members for c in coalitions]
        controls = [_random_sets(bench, [len(g) for g in method], r) for r in range(bench.settings.controls)]
        explained = _explained(bench, method)
        by_chance = [_explained(bench, groups) for groups in controls]
        parts = [
            Contribution(
                name,
                explained[name],
                np.mean([chance[name] for chance in by_chance], axis=0),
                _by_query_sum(domain, _centred(domain, domain.labels) ** 2),
            )
            for name, domain in bench.transfer.items()
        ]
        return [*parts, pooled("transfer", parts)]


def _random_sets(bench: Bench, sizes: Sequence[int], draw: int) -> list[Group]:
    """Random sets of the given sizes, independent of each other (the nested controls would repeat each other's members)."""
    generator = np.random.default_rng([bench.settings.seed, draw, *sizes])
    return [tuple(generator.choice(bench.n_players, size, replace=False).tolist()) for size in sizes]


def _explained(bench: Bench, groups: Sequence[Group]) -> dict[str, np.ndarray]:
    """SST - SSE by query [Q] of every transfer domain, for a ridge fitted on the held-out source queries."""
    source = bench.heldout
    features, target = _centred(source, source.macro_features(groups)), _centred(source, source.labels)
    scale = features.std(0)
    scale[scale == 0] = 1.0  # a dead coalition stays a column of zeros
    weights = _ridge(features / scale, target, source.query_of_pair) / scale
    explained = {}
    for name, domain in bench.transfer.items():
        truth = _centred(domain, domain.labels)
        error = truth - _centred(domain, domain.macro_features(groups)) @ weights
        explained[name] = _by_query_sum(domain, truth**2 - error**2)
    return explained


def _ridge(features: np.ndarray, target: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Ridge weights [K], the penalty chosen by grouped cross-validation (one fit a fold for all penalties at once)."""
    targets, errors = np.repeat(target[:, None], len(PENALTIES), axis=1), np.zeros(len(PENALTIES))
    for train, test in GroupKFold(n_splits=min(5, len(np.unique(groups)))).split(features, groups=groups):
        model = Ridge(alpha=PENALTIES, fit_intercept=False, solver="cholesky").fit(features[train], targets[train])
        errors += ((targets[test] - model.predict(features[test])) ** 2).sum(0)
    best = Ridge(alpha=PENALTIES[errors.argmin()], fit_intercept=False).fit(features, target)
    weights: np.ndarray = best.coef_
    return weights


def _centred(domain: Domain, values: np.ndarray) -> np.ndarray:
    """Values [pairs] or [pairs, K] minus their mean within the query."""
    columns = values.reshape(len(values), -1)
    means = np.stack([domain.by_query(column) for column in columns.T], axis=1)
    centred: np.ndarray = columns - means[domain.query_of_pair]
    return centred.reshape(values.shape)


def _by_query_sum(domain: Domain, values: np.ndarray) -> np.ndarray:
    return np.bincount(domain.query_of_pair, values, domain.n_queries)
