"""Ridge regressions from macro-features, their penalty chosen by cross-validation in which no query is on both sides.

Solved from the folds' Gram matrices, K x K: a fit without a fold is a subtraction, and all penalties share one
eigendecomposition. With scikit-learn (the reference in the tests) a method's alignment took 7 times as long, and it is
computed for 20 random controls as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.judged_game import Group

PENALTIES = np.logspace(-1, 5, 13)  # features are standardised; a few hundred pairs to a few thousand
FOLDS = 5


def fitted(features: np.ndarray, targets: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Ridge weights [K, targets] for targets [pairs, targets], a penalty chosen for each target by folds of queries.

    ``min |y - X w|^2 + penalty |w|^2``, the penalty that of the least squared error over five folds. Features [pairs, K]
    and targets are centred already: no intercept is fitted. Features need not be scaled: they are divided by their
    standard deviation here, and the weights are for them as given. One that is 0 gets the weight 0.
    """
    scale = features.std(0)
    scale[scale == 0] = 1.0  # a dead coalition stays a column of zeros
    scaled = features / scale
    tests = [test for _, test in folds(queries)]
    grams = np.stack([scaled[test].T @ scaled[test] for test in tests])
    products = np.stack([scaled[test].T @ targets[test] for test in tests])
    gram, product = grams.sum(0), products.sum(0)
    errors = np.zeros((len(PENALTIES), targets.shape[1]))
    for test, own, own_product in zip(tests, grams, products, strict=True):
        weights = _solved(gram - own, product - own_product)  # [penalties, K, targets]
        errors += ((targets[test] - scaled[test] @ weights) ** 2).sum(1)
    chosen = _solved(gram, product)[errors.argmin(0), :, np.arange(targets.shape[1])]
    weights_as_given: np.ndarray = chosen.T / scale[:, None]
    return weights_as_given


def _solved(gram: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Ridge weights [penalties, K, targets] of every penalty."""
    values, vectors = np.linalg.eigh(gram)
    rotated = vectors.T @ product
    weights: np.ndarray = vectors @ (rotated / (np.maximum(values, 0)[:, None] + PENALTIES[:, None, None]))
    return weights


def folds(queries: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit on and rows to test on, no query in both; the n-th query is in fold n mod 5."""
    number = np.unique(queries, return_inverse=True)[1] % FOLDS
    return [(np.flatnonzero(number != fold), np.flatnonzero(number == fold)) for fold in np.unique(number)]


def random_sets(bench: Bench, sizes: Sequence[int], draw: int) -> list[Group]:
    """Random sets of the given sizes, independent of each other (the nested controls would repeat each other's members)."""
    rng = bench.generator(2, draw, *sizes)
    return [tuple(rng.choice(bench.n_players, size, replace=False).tolist()) for size in sizes]
