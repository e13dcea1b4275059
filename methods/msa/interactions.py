"""Shapley interactions of all pairs of players from sampled coalitions: the even part of the game as a smooth function.

The Shapley interaction index of a pair is the mean of d^2 v / (d q_i d q_j) of the multilinear extension along its
diagonal. It does not change if every coalition is replaced by its complement, so it depends only on the even part of v,
e(S) = (v(S) + v(N minus S)) / 2, which the pairs of complements in the store determine. As in
`coterie.methods.msa.kriging`, e - e(N) is a Gaussian process on s in {-1, +1}^n with

    k(s, t) = cosh(sum_i l_i s_i t_i) / cosh(sum_i l_i):   cov = k(s, t) - k(s, N) - k(N, t) + k(N, N)   (+ noise),

and as the kernel is a product over players, its interaction of each pair is a one-dimensional integral:

    I_ij[cosh(l . s t)] = 4 t_i t_j sinh(l_i) sinh(l_j) * integral over q of prod_{k != i, j} p_k(q),
    p_k(q) = q exp(l_k t_k) + (1 - q) exp(-l_k t_k).

So the posterior means of all pairs of players are a few products [players, pairs of coalitions] x [pairs, players].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from coterie.methods.arrays import symmetric
from coterie.methods.msa.exact import exact_interactions
from coterie.methods.msa.kriging import LENGTHS, NOISES, evenly

if TYPE_CHECKING:
    from jaxtyping import Float

    from coterie.methods.msa.evidence import Evidence

_CHOOSE, _MOST = 400, 2560  # pairs of coalitions that choose the prior, and that the posterior uses at most
_NUMBERS = 2**25  # entries of an array of pairs x players
_BLOCK = 1024  # players per block of the result
_nodes, _weights = np.polynomial.legendre.leggauss(16)
_NODES, _WEIGHTS = (_nodes + 1) / 2, _weights / 2


def pair_interactions(evidence: Evidence, rounds: int = 3) -> Float[np.ndarray, "players players"]:
    """Return the Shapley interaction indices of the mean output: symmetric, diagonal 0, float32, in units of an output.

    An index is positive if the two players add more together than apart. The estimate costs no evaluation: it uses the
    pairs of complements in the store, at most 2,560. The sum of l and the noise maximise the marginal likelihood. Then, up
    to `rounds` times and while the likelihood improves, each l_i becomes proportional to the sum of squares of player i's
    interactions. The indices are exact if the store holds every coalition, and zero if it holds no pair.

    Reference: the index is Grabisch & Roubens (1999); the estimator is coterie's.
    """
    pairs, n = evidence.pairs(), evidence.n_players
    if not len(pairs) or n < 2:
        return np.zeros((n, n), dtype=np.float32)
    if evidence.complete:
        return exact_interactions(evidence).mean(axis=2).astype(np.float32)
    taken = pairs.some(evenly(len(pairs), max(_CHOOSE, min(_MOST, _NUMBERS // n))))
    signs = np.concatenate(list(taken.blocks()))
    even = (evidence.values(taken.one) + evidence.values(taken.other)).mean(axis=1) / 2 - evidence.values([0, 1]).mean()
    chosen = evenly(len(even), _CHOOSE)
    few = signs[chosen], even[chosen]
    prior = _best_prior(*few, np.full(n, 1 / n))
    for _ in range(rounds):
        relevance = np.square(_posterior(*few, prior)).sum(axis=1, dtype=np.float64)
        if not relevance.any():
            break
        better = _best_prior(*few, np.maximum(relevance / relevance.sum(), 1e-6))
        if better.likelihood <= prior.likelihood:
            break
        prior = better
    return _posterior(signs, even, prior)


@dataclass(frozen=True)
class _Prior:
    """The parameters of the Gaussian process."""

    likelihood: float
    """Log likelihood per observation."""
    scale: Float[np.ndarray, " players"]
    """l of each player."""
    noise: float
    """Variance of the noise, relative to the kernel's."""


def _covariance(
    signs: Float[np.ndarray, "pairs players"], scale: Float[np.ndarray, " players"]
) -> Float[np.ndarray, "pairs pairs"]:
    end = np.cosh(signs @ scale) / np.cosh(scale.sum())
    covariance = np.cosh((signs * scale) @ signs.T) / np.cosh(scale.sum())
    covariance -= np.add.outer(end, end) - 1
    return covariance


def _best_prior(
    signs: Float[np.ndarray, "pairs players"], even: Float[np.ndarray, " pairs"], share: Float[np.ndarray, " players"]
) -> _Prior:
    best = _Prior(-np.inf, share, float(NOISES[-1]))
    for length in LENGTHS:
        scale = share / share.sum() * length
        values, vectors = eigh(_covariance(signs, scale))
        spectra = np.maximum(values, 0)[:, None] + NOISES * values.max()  # [pairs, noises]
        power = np.square(vectors.T @ even)[:, None]
        tau = np.maximum((power / spectra).mean(axis=0), np.finfo(float).tiny)
        likelihood = -0.5 * (np.log(spectra).mean(axis=0) + np.log(tau))
        if likelihood.max() > best.likelihood:
            noise = float(NOISES[likelihood.argmax()] * values.max())
            best = _Prior(float(likelihood.max()), scale, noise)
    return best


def _posterior(
    signs: Float[np.ndarray, "pairs players"], even: Float[np.ndarray, " pairs"], prior: _Prior
) -> Float[np.ndarray, "players players"]:
    """The posterior mean of every pair's interaction."""
    scale, n = prior.scale, signs.shape[1]
    covariance = _covariance(signs, scale)
    covariance[np.diag_indices_from(covariance)] += prior.noise
    alpha = cho_solve(cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False), even)
    alpha, signs = np.append(alpha, -alpha.sum()), np.concatenate([signs, np.ones((1, n))])  # the coefficient of N
    size = 2 * np.sinh(scale)
    factors = []
    for q, weight in zip(_NODES, _WEIGHTS, strict=True):
        plus, minus = q * np.exp(scale) + (1 - q) * np.exp(-scale), q * np.exp(-scale) + (1 - q) * np.exp(scale)
        log = 0.5 * (np.log(plus * minus).sum() + signs @ (np.log(plus) - np.log(minus)))
        factors.append((weight * alpha * np.exp(log) / np.cosh(scale.sum()), size / plus, -size / minus))
    positive = signs > 0

    def block(rows: slice, columns: slice) -> Float[np.ndarray, "rows columns"]:
        total = np.zeros((len(scale[rows]), len(scale[columns])), dtype=np.float32)
        for amount, with_it, without in factors:
            left = np.where(positive[:, rows], with_it[rows], without[rows])
            right = np.where(positive[:, columns], with_it[columns], without[columns])
            total += (left * amount[:, None]).T @ right
        return total

    return symmetric(n, _BLOCK, block)
