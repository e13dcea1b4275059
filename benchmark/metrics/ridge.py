"""Ridge regressions from macro-features, their penalty chosen by cross-validation in which no query is on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from coterie.benchmark.bench import Bench
from coterie.benchmark.domain import Group

PENALTIES = np.logspace(-1, 5, 13)  # features are standardised; a few hundred pairs to a few thousand
FOLDS = 5


def fitted(features: np.ndarray, targets: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Ridge weights [K, targets] for targets [pairs, targets], a penalty chosen for each target by grouped folds.

    Features [pairs, K] and targets are centred already: no intercept is fitted. Features need not be scaled: they are
    divided by their standard deviation here, and the weights are for them as given. One that is 0 gets the weight 0.
    """
    scale = features.std(0)
    scale[scale == 0] = 1.0  # a dead coalition stays a column of zeros
    features = features / scale
    n_targets, repeated = targets.shape[1], np.repeat(targets, len(PENALTIES), axis=1)
    alphas, errors = np.tile(PENALTIES, n_targets), np.zeros(n_targets * len(PENALTIES))
    for train, test in folds(queries):
        model = Ridge(alpha=alphas, fit_intercept=False, solver="cholesky").fit(features[train], repeated[train])
        errors += ((repeated[test] - model.predict(features[test]).reshape(len(test), -1)) ** 2).sum(0)
    best = PENALTIES[errors.reshape(n_targets, -1).argmin(1)]
    model = Ridge(alpha=best, fit_intercept=False, solver="cholesky").fit(features, targets)
    weights: np.ndarray = np.atleast_2d(model.coef_).T / scale[:, None]
    return weights


def folds(queries: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit on and rows to test on, no query in both."""
    n_splits = min(FOLDS, len(np.unique(queries)))
    return list(GroupKFold(n_splits=n_splits).split(np.empty(len(queries)), groups=queries))


def random_sets(bench: Bench, sizes: Sequence[int], draw: int) -> list[Group]:
    """Random sets of the given sizes, independent of each other (the nested controls would repeat each other's members)."""
    generator = np.random.default_rng([bench.settings.seed, draw, *sizes])
    return [tuple(generator.choice(bench.n_players, size, replace=False).tolist()) for size in sizes]
