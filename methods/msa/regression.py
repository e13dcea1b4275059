"""Estimators in which every evaluation updates every player: odd regression, regression-adjusted MSR, Banzhaf values.

With s_i = +1 for i in S and -1 otherwise, and y_S = v(S) - v(N minus S), the Shapley value is the phi that minimises

    sum over S of w(|S|) (y_S - s . phi)^2      subject to   sum of phi = v(N) - v(empty),   w(s) = (n-1)/(C(n,s) s (n-s))

(Lundberg & Lee 2017). Only the odd part y matters, and pairs of complements isolate it (Fumagalli et al. 2026, arXiv
2602.01399). Sampled pairs are weighted so that each size has its exact share (post-stratified), so pairs from any source
can be used, and all pairs together yield the exact value. Conjugate gradients solve for all outputs together without
squaring the design.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import comb

from coterie.methods.msa.estimate import Estimate
from coterie.methods.msa.sampling import Kind, size_mass

if TYPE_CHECKING:
    from jaxtyping import Float

    from coterie.methods.msa.evidence import Evidence, Pairs

_TOLERANCE = 1e-10


def odd_regression(evidence: Evidence, kind: Kind = "shapley") -> Estimate:
    """Return Shapley (or Banzhaf) modes by least squares over all pairs in the store, without standard errors.

    If there are fewer pairs than players, some directions are undetermined; in these the solution stays at equal shares.
    """
    pairs = evidence.pairs()
    modes = least_squares(pairs, pairs.odd, evidence.total, kind)
    return Estimate(modes, None, f"odd regression, {kind}", len(evidence))


def least_squares(
    pairs: Pairs, odd: Float[np.ndarray, "pairs outputs"], total: Float[np.ndarray, " outputs"], kind: Kind
) -> Float[np.ndarray, "players outputs"]:
    """Return the minimiser above for targets `odd`.

    Banzhaf values have no constraint on their sum, but one row for the pair of N and empty.
    """
    n = pairs.evidence.n_players
    start = np.tile(total / n, (n, 1))
    weights = _weights(pairs, kind)
    keep = (lambda x: x - x.mean(axis=0)) if kind == "shapley" else (lambda x: x)
    end = 0.0 if kind == "shapley" else 2 * float(size_mass(n, kind)[n])

    def normal(x: Float[np.ndarray, "players outputs"]) -> Float[np.ndarray, "players outputs"]:
        return keep(_backward(pairs, weights[:, None] * _forward(pairs, x)) + end * x.sum(axis=0))

    residual = odd - _forward(pairs, start)
    return start + _conjugate_gradients(normal, keep(_backward(pairs, weights[:, None] * residual)), 3 * n)


def regression_adjusted(evidence: Evidence, rng: np.random.Generator, folds: int = 5) -> Estimate:
    """Return modes by maximum sample reuse on the residuals of a regression.

    For each fold of pairs a regression f is fitted on the other folds. Then phi is phi(f) plus the sum over sizes of the
    mean over pairs of a_i(S) (y_S - f_S), with a_i(S) = 1/|S| for i in S and -1/(n - |S|) otherwise. The estimate is unbiased
    if every size was sampled, except in a game so small that draws without replacement cover a large share of it; sizes
    without a pair count as the mean of the others. Errors are the standard errors of the second term.

    Reference: Witter et al. (2025), Regression-adjusted Monte Carlo estimators.
    """
    pairs, n = evidence.pairs(), evidence.n_players
    odd, total = pairs.odd, evidence.total
    fold_of = rng.permutation(len(pairs)) % (1 if evidence.complete else max(2, min(folds, len(pairs))))
    fitted, residual = np.zeros((n, evidence.n_outputs)), odd.copy()
    for fold in np.unique(fold_of):
        inside = np.flatnonzero(fold_of == fold)
        train = inside if evidence.complete else np.flatnonzero(fold_of != fold)
        modes = least_squares(pairs.some(train), odd[train], total, "shapley")
        residual[inside] -= _forward(pairs.some(inside), modes)
        fitted += modes * (len(inside) / len(pairs))
    if not len(pairs):
        return Estimate(np.tile(total / n, (n, 1)), None, "regression-adjusted MSR", len(evidence))
    correction, errors = _reuse(pairs, residual)
    return Estimate(fitted + correction, errors, "regression-adjusted MSR", len(evidence))


def _reuse(
    pairs: Pairs, odd: Float[np.ndarray, "pairs outputs"]
) -> tuple[Float[np.ndarray, "players outputs"], Float[np.ndarray, "players outputs"]]:
    """The sum over sizes of the mean of a_i(S) y_S, and its standard error as if pairs were drawn independently."""
    n, size = pairs.evidence.n_players, pairs.sizes()
    smaller = np.minimum(size, n - size)
    count, middle = np.bincount(smaller, minlength=n)[smaller], 2 * size == n
    weight = np.where(middle, 0.5, 1.0) / count
    weight *= (n - 1) / 2 / weight.sum()  # makes up for sizes without a pair
    unseen = 1 - count / comb(n, smaller) * np.where(middle, 2, 1)  # a size with all of its pairs is known exactly
    mean, square = np.zeros((n, odd.shape[1])), np.zeros((n, odd.shape[1]))
    start = 0
    for block in pairs.blocks():
        rows = slice(start, start + len(block))
        a = np.where(block > 0, 1 / size[rows, None], -1 / (n - size[rows, None])) * weight[rows, None]
        mean += a.T @ odd[rows]
        square += (np.square(a) * unseen[rows, None]).T @ np.square(odd[rows])
        start += len(block)
    return mean, np.sqrt(square)


def _weights(pairs: Pairs, kind: Kind) -> Float[np.ndarray, " pairs"]:
    """Weight of each pair: the mass of its two sizes, divided among the pairs of these sizes."""
    n, size = pairs.evidence.n_players, pairs.sizes()
    mass, smaller = size_mass(n, kind), np.minimum(size, n - size)
    both = mass[smaller] + np.where(2 * smaller == n, 0, mass[n - smaller])
    return both / np.bincount(smaller, minlength=n)[smaller]


def _forward(pairs: Pairs, x: Float[np.ndarray, "players outputs"]) -> Float[np.ndarray, "pairs outputs"]:
    return np.concatenate([np.empty((0, x.shape[1])), *(block @ x for block in pairs.blocks())])


def _backward(pairs: Pairs, y: Float[np.ndarray, "pairs outputs"]) -> Float[np.ndarray, "players outputs"]:
    result, start = np.zeros((pairs.evidence.n_players, y.shape[1])), 0
    for block in pairs.blocks():
        result += block.T @ y[start : start + len(block)]
        start += len(block)
    return result


def _conjugate_gradients(
    normal: Callable[[Float[np.ndarray, "players outputs"]], Float[np.ndarray, "players outputs"]],
    right: Float[np.ndarray, "players outputs"],
    most: int,
) -> Float[np.ndarray, "players outputs"]:
    """Solve normal(x) = right from zero, with one step length per output, until all residuals are below the tolerance."""
    x, residual = np.zeros_like(right), right.copy()
    direction, square = right.copy(), np.square(right).sum(axis=0)
    goal = _TOLERANCE**2 * np.maximum(square, np.finfo(float).tiny)
    for _ in range(most):
        going = square > goal
        if not going.any():
            break
        image = normal(direction)
        curvature = (direction * image).sum(axis=0)
        step = np.divide(square, curvature, out=np.zeros_like(square), where=going & (curvature > 0))
        x += step * direction
        residual -= step * image
        before, square = square, np.square(residual).sum(axis=0)
        direction = residual + np.divide(square, before, out=np.zeros_like(square), where=before > 0) * direction
    return x
