"""Choose the coalitions to evaluate: prefixes of permutations, and pairs of complements by leverage."""

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
    """Return the coalitions of the first 1 to n - 1 players of a permutation, one per row."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[None, :] < np.arange(1, len(order))[:, None]


def draw_pairs(evidence: Evidence, most: int, rng: np.random.Generator) -> int:
    """Evaluate up to `most` more coalitions as pairs (S, N minus S) that are not in the store; return how many were new.

    Leverage-score sampling: every size 1 to n - 1 is equally likely, and so is every set of a size. Sizes are drawn in a
    random cycle (stratified), exhausted sizes are skipped, and no pair is drawn twice, so a full budget enumerates everything.
    The n pairs of one player against all others come first if they cost at most nine tenths of what may be spent, because
    they show every player's two extreme contributions.

    Reference: Musco & Witter (2025), Provably accurate Shapley value estimation via leverage score sampling, arXiv
    2410.01917.
    """
    n, before = evidence.n_players, len(evidence)
    end = before + min(most, evidence.left)
    if n < 2:
        return 0
    single = _interleaved(np.eye(n, dtype=bool))
    if evidence.new(single) <= 0.9 * (end - before):
        evidence.evaluate(single)
    # Sizes s and n - s form one pair, so sizes 1 .. n/2 are drawn, all but the middle one twice as often.
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
    """One coalition of each pair among these that is not in the store, in their order."""
    bits = np.packbits(kept ^ ~kept[:, :1], axis=1)  # of the member of each pair that holds player 0
    _, first = np.unique(bits.view(f"V{bits.shape[1]}")[:, 0], return_index=True)
    rows = kept[np.sort(first)]
    return rows[~(evidence.holds(rows) & evidence.holds(~rows))]


def _interleaved(kept: Bool[np.ndarray, "m players"]) -> Bool[np.ndarray, "twice players"]:
    return np.stack([kept, ~kept], axis=1).reshape(-1, kept.shape[1])


def _subsets(n: int, sizes: Int[np.ndarray, " m"], rng: np.random.Generator) -> Bool[np.ndarray, "m players"]:
    """Draw a random set of each size."""
    return rng.permuted(np.arange(n) < sizes[:, None], axis=1)


def size_mass(n: int, kind: Kind) -> Float[np.ndarray, " sizes"]:
    """Return the joint weight of all sets of each size 0 to n in the regression whose solution is the value.

    For Shapley values that is (n - 1) / (s (n - s)), the two ends being constraints; for Banzhaf values the binomial
    C(n, s) / 2^n.
    """
    if kind == "banzhaf":
        mass: NDArray[np.float64] = binom.pmf(np.arange(n + 1), n, 0.5)
        return mass
    inside = np.arange(1, n)
    return np.r_[0.0, (n - 1) / (inside * (n - inside)), 0.0]
