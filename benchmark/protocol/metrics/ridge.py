"""Ridge regressions from macro-features, with the penalty chosen by cross-validation over queries.

No query is in two folds. The regressions are solved from the folds' K x K Gram matrices: leaving out a fold is a
subtraction, and all penalties share one eigendecomposition. With scikit-learn, the reference in the tests, the alignment of
one method took 7 times as long, and it is computed for 20 random controls as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.judged_game import Group

PENALTIES = np.logspace(-1, 5, 13)  # for standardised features and a few hundred to a few thousand pairs
FOLDS = 5


def fitted(features: np.ndarray, targets: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Ridge weights, shape (K, targets), for features (pairs, K), targets (pairs, targets) and query indices (pairs,).

    The weights w minimise `|y - X w|^2 + penalty |w|^2`, with the penalty of the least squared error over five folds of
    queries, chosen for each target. Features and targets must be centred, since no intercept is fitted. Features may have
    any scale: they are standardised for the fit, and the weights apply to the features as passed. A feature that is
    constant gets the weight 0.
    """
    scale = features.std(0)
    scale[scale == 0] = 1.0  # a coalition that never fires stays a column of zeros
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
    unscaled: np.ndarray = chosen.T / scale[:, None]
    return unscaled


def _solved(gram: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Ridge weights for every penalty, shape (penalties, K, targets)."""
    values, vectors = np.linalg.eigh(gram)
    rotated = vectors.T @ product
    weights: np.ndarray = vectors @ (rotated / (np.maximum(values, 0)[:, None] + PENALTIES[:, None, None]))
    return weights


def folds(queries: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows to fit on and the rows to test on, per fold; the n-th query is tested in fold n mod 5."""
    number = np.unique(queries, return_inverse=True)[1] % FOLDS
    return [(np.flatnonzero(number != fold), np.flatnonzero(number == fold)) for fold in np.unique(number)]


def random_controls(bench: Bench, groups: Sequence[Group]) -> list[list[Group]]:
    """For each control, as many random sets as there are groups, of the same sizes."""
    return [random_sets(bench, [len(group) for group in groups], r) for r in range(bench.settings.controls)]


def random_sets(bench: Bench, sizes: Sequence[int], draw: int) -> list[Group]:
    """Independent random sets of these sizes; the bench's nested controls would share members and so be collinear."""
    rng = bench.generator(2, draw, *sizes)
    return [tuple(rng.choice(bench.n_players, size, replace=False).tolist()) for size in sizes]
