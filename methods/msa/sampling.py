"""Which coalitions to evaluate: prefixes of permutations, and pairs of complements by leverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import binom

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy.typing import NDArray

    from coterie.methods.msa.evidence import Evidence

Kind = Literal["shapley", "banzhaf"]


def prefixes(order: Int[np.ndarray, " players"]) -> Bool[np.ndarray, "n_minus_1 players"]:
    """The coalitions of the first 1 to n - 1 players of a permutation, one row each: consecutive rows differ in one."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[None, :] < np.arange(1, len(order))[:, None]


def draw_pairs(evidence: Evidence, most: int, rng: np.random.Generator) -> int:
    """Evaluate up to ``most`` more coalitions as pairs (S, N minus S) that are not in the store; how many were new.

    Leverage-score sampling (Musco & Witter 2025, Provably accurate Shapley value estimation via leverage score sampling,
    arXiv 2410.01917): every size 1 to n - 1 is equally likely, every set of a size too; sizes are taken in a random cycle
    (stratified) and no set twice. Before these come the n pairs of one player against all others, where they are at most
    nine tenths of what may be spent: they tell every player's two extreme contributions and halve the error at 3 n.
    """
    n, before = evidence.n_players, len(evidence)
    wanted = min(most, evidence.left) // 2
    single = _interleaved(np.eye(n, dtype=bool))
    cost = evidence.new(single)
    if n < 2 or not wanted:
        return 0
    if cost <= 0.9 * 2 * wanted:
        evidence.evaluate(single)
        wanted -= cost // 2
    half = n // 2
    while wanted > 0:
        # Sizes s and n - s come as one pair, so 1 .. n/2 are drawn; the middle of an even n has half the weight.
        cycle = rng.permutation(np.r_[np.arange(1, half + 1), np.arange(1, (n - 1) // 2 + 1)])
        sizes = np.resize(cycle, min(wanted, 4096))
        kept = np.stack([_subset(n, int(size), rng) for size in sizes])
        done = len(evidence)
        evidence.evaluate(_interleaved(kept))
        wanted -= (len(evidence) - done) // 2
        if len(evidence) == done:  # only repetitions: a small game that is nearly used up
            left = _missing(evidence)
            evidence.evaluate(_interleaved(left[rng.permutation(len(left))[:wanted]]))
            break
    return len(evidence) - before


def _interleaved(kept: Bool[np.ndarray, "m players"]) -> Bool[np.ndarray, "twice players"]:
    return np.stack([kept, ~kept], axis=1).reshape(-1, kept.shape[1])


def _subset(n: int, size: int, rng: np.random.Generator) -> Bool[np.ndarray, " players"]:
    kept = np.zeros(n, dtype=bool)
    kept[rng.permutation(n)[:size]] = True
    return kept


def _missing(evidence: Evidence) -> Bool[np.ndarray, "m players"]:
    """One of each pair of coalitions that the store lacks, by enumeration: for games small enough to be used up."""
    codes = np.arange(1, 2 ** (evidence.n_players - 1), dtype=np.int64)  # those without the last player
    kept = (codes[:, None] >> np.arange(evidence.n_players)) & 1 > 0
    return kept[[evidence.new(row[None]) > 0 for row in kept]]


def size_mass(n: int, kind: Kind) -> Float[np.ndarray, " sizes"]:
    """Weight of all sets of each size 0 to n together, in the regression whose solution is the value.

    ``shapley``: (n - 1) / (s (n - s)), the two ends being constraints; ``banzhaf``: the binomial C(n, s) / 2^n.
    """
    if kind == "banzhaf":
        mass: NDArray[np.float64] = binom.pmf(np.arange(n + 1), n, 0.5)
        return mass
    inside = np.arange(1, n)
    return np.r_[0.0, (n - 1) / (inside * (n - inside)), 0.0]
