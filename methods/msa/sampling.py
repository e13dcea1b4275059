"""Which coalitions to evaluate: prefixes of permutations, and pairs of complements by leverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import comb
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
    (stratified), sizes that are used up are left out, and no pair comes twice: a full budget enumerates everything.
    Before these come the n pairs of one player against all others, where they are at most nine tenths of what may be
    spent: they tell every player's two extreme contributions.
    """
    n, before = evidence.n_players, len(evidence)
    end = before + min(most, evidence.left)
    if n < 2:
        return 0
    single = _interleaved(np.eye(n, dtype=bool))
    if evidence.new(single) <= 0.9 * (end - before):
        evidence.evaluate(single)
    # Sizes s and n - s come as one pair, so 1 .. n/2 are drawn, all but the middle one twice as often.
    sizes, known = np.arange(1, n // 2 + 1), evidence.pairs().sizes()
    room = comb(n, sizes) * np.where(2 * sizes == n, 0.5, 1.0)
    room -= np.bincount(np.minimum(known, n - known), minlength=n // 2 + 1)[1:]
    while len(evidence) + 2 <= end and (room > 0).any():
        left = sizes[room > 0]
        cycle = rng.permutation(np.r_[left, left[2 * left < n]])
        drawn = np.resize(cycle, min((end - len(evidence)) // 2, 4096))
        fresh = _new_pairs(evidence, _subsets(n, drawn, rng))
        evidence.evaluate(_interleaved(fresh))
        size = fresh.sum(axis=1)
        room -= np.bincount(np.minimum(size, n - size), minlength=n // 2 + 1)[1:]
    return len(evidence) - before


def _new_pairs(evidence: Evidence, kept: Bool[np.ndarray, "m players"]) -> Bool[np.ndarray, "new players"]:
    """One coalition of each pair among these that is not in the store, in order."""
    bits = np.packbits(kept ^ ~kept[:, :1], axis=1)  # of the one with player 0
    _, first = np.unique(bits.view(f"V{bits.shape[1]}")[:, 0], return_index=True)
    rows = kept[np.sort(first)]
    return rows[~(evidence.holds(rows) & evidence.holds(~rows))]


def _interleaved(kept: Bool[np.ndarray, "m players"]) -> Bool[np.ndarray, "twice players"]:
    return np.stack([kept, ~kept], axis=1).reshape(-1, kept.shape[1])


def _subsets(n: int, sizes: Int[np.ndarray, " m"], rng: np.random.Generator) -> Bool[np.ndarray, "m players"]:
    """A random set of each size."""
    return rng.permuted(np.arange(n) < sizes[:, None], axis=1)


def size_mass(n: int, kind: Kind) -> Float[np.ndarray, " sizes"]:
    """Weight of all sets of each size 0 to n together, in the regression whose solution is the value.

    ``shapley``: (n - 1) / (s (n - s)), the two ends being constraints; ``banzhaf``: the binomial C(n, s) / 2^n.
    """
    if kind == "banzhaf":
        mass: NDArray[np.float64] = binom.pmf(np.arange(n + 1), n, 0.5)
        return mass
    inside = np.arange(1, n)
    return np.r_[0.0, (n - 1) / (inside * (n - inside)), 0.0]
