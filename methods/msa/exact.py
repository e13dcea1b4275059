"""Exact values from a store that holds every coalition of a small game; the tests compare estimators with them."""

from __future__ import annotations

from math import comb, factorial
from typing import TYPE_CHECKING

import numpy as np

from coterie.methods.msa.estimate import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float

    from coterie.methods.msa.evidence import Evidence
    from coterie.methods.msa.sampling import Kind

_MOST = 20  # players, which take a million evaluations


def evaluate_all(evidence: Evidence) -> None:
    """Fill the store with all 2^n coalitions. Raises `ValueError` for more than 20 players."""
    n = evidence.n_players
    if n > _MOST:
        raise ValueError(f"players: expected at most {_MOST} for all 2^n coalitions, got {n}; fix: use an estimator")
    evidence.evaluate((np.arange(2**n)[:, None] >> np.arange(n)) & 1 > 0)


def exact(evidence: Evidence, kind: Kind = "shapley") -> Estimate:
    """Return the exact modes, `phi_i = sum over S without i of w(|S|) (v(S + i) - v(S))`.

    The weight w(s) is s! (n - s - 1)! / n! for Shapley and 2^(1 - n) for Banzhaf values. Raises `ValueError` if the store
    does not hold every coalition.
    """
    n, table = evidence.n_players, _table(evidence)
    size = np.array([code.bit_count() for code in range(2**n)])
    weight = np.array(
        [2.0 ** (1 - n) if kind == "banzhaf" else factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)]
    )
    modes = np.empty((n, evidence.n_outputs))
    for i in range(n):
        without = np.flatnonzero((np.arange(2**n) >> i) & 1 == 0)
        modes[i] = weight[size[without]] @ (table[without | 1 << i] - table[without])
    return Estimate(modes, None, f"exact {kind}", len(evidence))


def exact_interactions(evidence: Evidence) -> Float[np.ndarray, "players players outputs"]:
    """Return the Shapley interaction index of each pair for each output; symmetric, with a diagonal of 0.

    `I_ij = sum over S without i, j of (v(S + ij) - v(S + i) - v(S + j) + v(S)) / ((n - 1) C(n - 2, |S|))` (Grabisch & Roubens
    1999). All are zero for an additive game. Raises `ValueError` if the store does not hold every coalition.
    """
    n, table = evidence.n_players, _table(evidence)
    codes, result = np.arange(2**n), np.zeros((n, n, evidence.n_outputs))
    for i in range(n):
        for j in range(i):
            s = codes[(codes >> i) & 1 | (codes >> j) & 1 == 0]
            weight = np.array([1 / ((n - 1) * comb(n - 2, int(code).bit_count())) for code in s])
            second = table[s | 1 << i | 1 << j] - table[s | 1 << i] - table[s | 1 << j] + table[s]
            result[i, j] = result[j, i] = weight @ second
    return result


def _table(evidence: Evidence) -> Float[np.ndarray, "coalitions outputs"]:
    """v(S) in the order of S as a binary number, with player 0 as the lowest bit."""
    if not evidence.complete:
        raise ValueError(
            f"evidence: expected all 2^{evidence.n_players} coalitions, got {len(evidence)}; "
            f"fix: evaluate_all(evidence), or an estimator"
        )
    codes = evidence.kept(slice(None)) @ (1 << np.arange(evidence.n_players))
    table = np.empty((len(evidence), evidence.n_outputs))
    table[codes] = evidence.values(slice(None))
    return table
