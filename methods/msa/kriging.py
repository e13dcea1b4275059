"""Kriging: the values of all coalitions as one smooth random function, with Shapley values in closed form.

With few evaluations (a small multiple of the players) least squares has as many unknowns as equations, and permutations
move one player at a time. Kriging models the odd part of v as a Gaussian process on the hypercube s in {-1, +1}^n,

    cov(v(s), v(t)) = tau * sinh(sum_i l_i s_i t_i) / sinh(sum_i l_i)   (+ noise),

the odd part of an isotropic kernel, stretched by how much each player matters (l_i). It allows interactions of every odd
order, the higher ones being less likely; the sum of l measures how far from additive the game is. The kernel is a product
over players, so its Shapley values are one-dimensional integrals of products (the multilinear extension):

    phi_i[exp(l . s t)] = 2 t_i sinh(l_i) * integral over q of prod_{j != i} (q exp(l_j t_j) + (1 - q) exp(-l_j t_j)).

The modes are the posterior mean given every pair in the store. As v(N) - v(empty) is known exactly, efficiency holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh, solve_triangular
from scipy.linalg.blas import dsyrk

from coterie.methods.msa.estimate import Estimate
from coterie.methods.msa.regression import least_squares

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy.typing import NDArray

    from coterie.methods.msa.evidence import Evidence, Pairs

LENGTHS = (1e-3, 0.3, 0.7, 1.3, 2.2, 4.0)  # candidates for the sum of l; the first is practically additive
NOISES = np.geomspace(1e-10, 1e2, 37)  # the smallest keeps the Cholesky factorisation of 2,560 pairs from failing
_CHOOSE, _MOST = 320, 2560  # pairs that choose the prior, and that the posterior uses at most
_NUMBERS = 2**25  # entries of an array of pairs x players: very many players leave room for fewer pairs
_nodes, _weights = np.polynomial.legendre.leggauss(48)
_NODES, _WEIGHTS = (_nodes + 1) / 2, _weights / 2


def kriging(evidence: Evidence, rounds: int = 3) -> Estimate:
    """Return Shapley modes as the posterior mean of the Gaussian process above; errors are posterior standard deviations.

    The sum of l and the noise maximise the marginal likelihood over a grid, for all outputs together. Then, up to `rounds`
    times and while the likelihood improves, each l_i is set to the posterior mean square of player i's modes (automatic
    relevance). These choices use up to 320 pairs, the posterior up to 2,560 (a Cholesky factor of pairs x pairs). If the
    store is complete, or has more pairs than that and more than two per player, `least_squares` is fitted to what the
    posterior leaves unexplained in all pairs. So the estimate is consistent: it is exact once every coalition is known.
    """
    pairs, n = evidence.pairs(), evidence.n_players
    if not len(pairs):
        return Estimate(np.tile(evidence.total / n, (n, 1)), None, "kriging", len(evidence))
    few = _Data.of(pairs.some(evenly(len(pairs), _CHOOSE)))
    prior = _best_prior(few, np.full(n, 1 / n))
    for _ in range(rounds):
        seen = _posterior(few, prior)
        relevance = (np.square(seen.modes) + np.square(seen.errors)).mean(axis=1)
        if not relevance.any():  # outputs that never change
            break
        better = _best_prior(few, np.maximum(relevance / relevance.sum(), 1e-6))
        if better.likelihood <= prior.likelihood:
            break
        prior = better
    taken = pairs.some(evenly(len(pairs), max(_CHOOSE, min(_MOST, _NUMBERS // n))))
    found = _posterior(_Data.of(taken), prior)
    modes = found.modes
    if evidence.complete or len(pairs) > max(len(taken), 2 * n):
        rest = pairs.odd - 2 * np.concatenate([found.predict(block) for block in pairs.blocks()])
        modes = modes + least_squares(pairs, rest, np.zeros(evidence.n_outputs), "shapley")
    return Estimate(modes, found.errors, "kriging", len(evidence))


@dataclass(frozen=True)
class _Data:
    """What the Gaussian process is fitted to."""

    signs: Float[np.ndarray, "pairs players"]
    """Coalitions: +1 for members, -1 for the others."""
    odd: Float[np.ndarray, "pairs outputs"]
    """The odd part of v at these coalitions."""
    total: Float[np.ndarray, " outputs"]
    """The odd part of v at N."""

    @classmethod
    def of(cls, pairs: Pairs) -> _Data:
        return cls(np.concatenate(list(pairs.blocks())), pairs.odd / 2, pairs.evidence.total / 2)


@dataclass(frozen=True)
class _Prior:
    """The parameters of the Gaussian process."""

    likelihood: float
    """Log likelihood per observation."""
    scale: Float[np.ndarray, " players"]
    """l of each player."""
    noise: float
    """Variance of the noise, relative to tau."""


@dataclass(frozen=True)
class _Posterior:
    """The Gaussian process given the data."""

    modes: Float[np.ndarray, "players outputs"]
    """Mean of the Shapley modes."""
    errors: Float[np.ndarray, "players outputs"]
    """Standard deviation of the Shapley modes."""
    predict: Callable[[Float[np.ndarray, "m players"]], Float[np.ndarray, "m outputs"]]
    """Mean of the odd part of v at other coalitions, given as signs."""


def _best_prior(data: _Data, share: Float[np.ndarray, " players"]) -> _Prior:
    """The most likely sum of l and noise on the grid, with l divided among the players by `share`."""
    best = _Prior(-np.inf, share, NOISES[-1])
    for length in LENGTHS:
        scale = share / share.sum() * length
        covariance, rest = _given_the_end(data, scale)
        values, vectors = eigh(covariance, lower=True)
        power = np.square(vectors.T @ rest).mean(axis=1)[:, None]
        spectra = np.maximum(values, 0)[:, None] + NOISES  # [pairs, noises]
        tau = np.maximum((power / spectra).mean(axis=0), np.finfo(float).tiny)
        likelihood = -0.5 * (np.log(spectra).mean(axis=0) + np.log(tau))
        if likelihood.max() > best.likelihood:
            best = _Prior(float(likelihood.max()), scale, float(NOISES[likelihood.argmax()]))
    return best


def _posterior(data: _Data, prior: _Prior) -> _Posterior:
    """Mean and standard deviation of the modes, and the mean at other coalitions."""
    scale, everyone = prior.scale, np.ones((1, data.signs.shape[1]))
    covariance, rest = _given_the_end(data, scale)
    covariance[np.diag_indices_from(covariance)] += prior.noise
    factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
    weights = cho_solve(factor, rest)
    end = _functional(everyone, scale)  # [players, 1]
    at_end = _kernel(data.signs, everyone, scale)
    load = _functional(data.signs, scale) - end @ at_end.T  # [players, pairs]
    reduced = solve_triangular(factor[0], load.T, lower=True, check_finite=False)
    variance = _variance(scale) - end[:, 0] ** 2 - np.square(reduced).sum(axis=0)
    tau = (rest * weights).mean(axis=0)
    spread = data.total - at_end.T @ weights  # of the kernel with N itself

    def predict(signs: Float[np.ndarray, "m players"]) -> Float[np.ndarray, "m outputs"]:
        return _kernel(signs, data.signs, scale) @ weights + _kernel(signs, everyone, scale) * spread

    modes = end * data.total + load @ weights
    return _Posterior(modes, np.sqrt(np.maximum(variance, 0)[:, None] * np.maximum(tau, 0)), predict)


def _given_the_end(
    data: _Data, scale: Float[np.ndarray, " players"]
) -> tuple[Float[np.ndarray, "pairs pairs"], Float[np.ndarray, "pairs outputs"]]:
    """Covariance of the pairs (its lower triangle) and their residuals, given the value at N, whose variance is 1."""
    at_end = _kernel(data.signs, np.ones((1, len(scale))), scale)
    stretched = (data.signs * np.sqrt(scale)).T
    covariance: NDArray[np.float64] = dsyrk(1.0, stretched, trans=1, lower=1)
    np.sinh(covariance, out=covariance)
    covariance /= np.sinh(scale.sum())
    covariance -= at_end * at_end.T
    return covariance, data.odd - at_end * data.total


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` evenly spaced indices of `range(count)`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _kernel(
    one: Float[np.ndarray, "a players"], other: Float[np.ndarray, "b players"], scale: Float[np.ndarray, " players"]
) -> Float[np.ndarray, "a b"]:
    return np.sinh((one * scale) @ other.T) / np.sinh(scale.sum())


def _functional(
    signs: Float[np.ndarray, "pairs players"], scale: Float[np.ndarray, " players"]
) -> Float[np.ndarray, "players pairs"]:
    """phi_i of the kernel with each coalition t: the integral of the module docstring by Gauss-Legendre quadrature."""
    plus = np.log(_NODES[:, None] * np.exp(scale) + (1 - _NODES[:, None]) * np.exp(-scale))  # [nodes, players]
    minus = plus[::-1]  # the nodes are symmetric: q and 1 - q
    product = np.exp(0.5 * ((plus + minus).sum(axis=1) + signs @ (plus - minus).T)) * _WEIGHTS  # [pairs, nodes]
    others = np.where(signs > 0, product @ np.exp(-plus), product @ np.exp(-minus))
    return (2 * np.sinh(scale) / np.sinh(scale.sum()) * signs * others).T


def _variance(scale: Float[np.ndarray, " players"]) -> Float[np.ndarray, " players"]:
    """phi_i of the kernel in both arguments: the prior variance of a player's value, as a double integral."""
    others = np.zeros(len(scale))
    for q, weight in zip(_NODES, _WEIGHTS, strict=True):
        same = (q * _NODES + (1 - q) * (1 - _NODES))[:, None]
        log = np.log(same * np.exp(scale) + (1 - same) * np.exp(-scale))  # [nodes, players]
        others += (weight * _WEIGHTS * np.exp(log.sum(axis=1))) @ np.exp(-log)
    return 4 * np.sinh(scale) / np.sinh(scale.sum()) * others
