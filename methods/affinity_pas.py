"""PAS at the game's own readout: exact by joint ablation, to second order by the Hessian, or by first-order products.

All are in the units of the game's outputs, averaged over them. The effect of a set A of players is
f(A) = mean_x [s(x; {}) - s(x; A)], and the synergy of a pair psi_ij = f({i,j}) - f({i}) - f({j}): positive for players that
reinforce each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from coterie.methods.arrays import matrix, symmetric_product
from coterie.tasks.errors import BudgetExceededError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from coterie.tasks.game import Game

_AT_ONCE = 256  # ablations, or products with the Hessian, requested at a time
_PROBES = 8  # products with the Hessian that measure the error of a sketch
_PER_PRODUCT = 4  # evaluations that a game counts per product with the Hessian


def pas(game: Game, budget: int) -> Float[np.ndarray, "players players"]:
    """Return the exact pairwise synergy by joint ablation, in n (n - 1) / 2 + n + 1 evaluations.

    Reference: PAS in Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684.
    Deviations from the paper: the sign. The paper's definition E[l - l_-i - l_-j + l_-ij] is -psi; here positive affinity
    means synergy. Values within rounding of the outputs (8 units in the last place of the largest one) become 0, because
    players that do not interact would otherwise be friends by accident.

    Raises `BudgetExceededError`, before spending anything, if the budget does not cover all pairs.
    """
    n = game.n_players
    needed = n * (n - 1) // 2 + n + 1
    if budget < needed:
        raise BudgetExceededError(
            f"pas: expected a budget of {needed} evaluations or more (all pairs of {n} players), got {budget}; "
            f"fix: --budget {needed}, or an affinity that approximates it: pas-hessian, pas-lens"
        )
    pairs = np.column_stack(np.triu_indices(n, 1))
    psi = np.zeros((n, n), dtype=np.float32)
    synergies, rounding = _pair_synergies(game, pairs, mean=True)
    psi[pairs[:, 0], pairs[:, 1]] = np.where(np.abs(synergies[:, 0]) > rounding, synergies[:, 0], 0)
    return psi + psi.T


def pair_synergies(game: Game, pairs: Int[np.ndarray, "pairs 2"]) -> Float[np.ndarray, "pairs outputs"]:
    """Return the exact synergy of some pairs on each output.

    Costs one evaluation per pair, one per player in any of them, and one more. Raises `ValueError` for outputs that are not
    finite.
    """
    return _pair_synergies(game, pairs, mean=False)[0]


def _pair_synergies(
    game: Game, pairs: Int[np.ndarray, "pairs 2"], mean: bool
) -> tuple[Float[np.ndarray, "pairs outputs"], float]:
    """The synergies, on each output or as one column of their `mean`, and their rounding error."""
    players, place = np.unique(pairs, return_inverse=True)
    alone, rounding = _outputs(game, [(), *((int(i),) for i in players)], mean)
    lost = (alone[0] - alone[1:])[place.reshape(pairs.shape)]  # [pairs, 2, outputs]
    together, _ = _outputs(game, [(int(i), int(j)) for i, j in pairs], mean)
    synergies: Float[np.ndarray, "pairs outputs"] = alone[0] - together - lost[:, 0] - lost[:, 1]
    return synergies, rounding


def pas_hessian(game: Game, budget: int) -> tuple[Float[np.ndarray, "players players"], dict[str, Any]]:
    """Return the second-order synergy and notes: `psi_ij = -d^2 E_x[s] / (d t_i d t_j)`, with t the amounts of ablation.

    This is the Taylor expansion of psi to second order around the intact network, exact if the outputs are quadratic in t.
    A budget of 4 evaluations per player covers all n products of the Hessian H with unit vectors. A smaller one covers a
    randomised sketch of the largest rank r that it allows, at 8 r evaluations. With Q an orthonormal basis of the products
    of H with r Gaussian vectors,

        H ~ H Q Q' + Q Q' H - Q Q' H Q Q',

    whose error is the part of H outside Q on both sides. The notes report the rank and the relative error in the Frobenius
    norm, |H - sketch| / |H| (diagonal included), estimated from 8 more products with Gaussian vectors. The Gaussian vectors
    are the same in every call, so the affinity is a function of the game and the budget.

    Reference: Chowdhury, Nijasure, Zick, Allan (2026), arXiv 2509.23684 (the mixed second derivative); Halko, Martinsson,
    Tropp (2011), SIAM Review 53 (the sketch).
    Deviations from the paper: derivatives by automatic differentiation through the replayed layers, in the amount by
    which a neuron is ablated at all tokens together.

    Raises `BudgetExceededError` if the budget does not cover a sketch of rank 1, and `ValueError` for derivatives that are
    not finite.
    """
    n = game.n_players
    if budget >= _PER_PRODUCT * n:
        hessian = _products(game, np.eye(n))
        psi = (hessian + hessian.T) / -2
        np.fill_diagonal(psi, 0)
        return psi, {"rank": n, "relative_error": 0.0}
    rank = (budget // _PER_PRODUCT - _PROBES) // 2
    if rank < 1:
        raise BudgetExceededError(
            f"pas-hessian: expected a budget of {_PER_PRODUCT * (_PROBES + 2)} evaluations or more, got {budget}; "
            f"fix: a larger --budget ({_PER_PRODUCT * n} evaluations are exact for this game)"
        )
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(_products(game, rng.normal(size=(rank, n))).T)[0].T.astype(np.float32)  # [rank, n]
    image = _products(game, basis)  # rows of Q'H
    left = image - (image @ basis.T) @ basis / 2  # H ~ left' Q' + Q left
    probes = rng.normal(size=(_PROBES, n)).astype(np.float32)
    truth = _products(game, probes)
    error = truth - (probes @ left.T) @ basis - (probes @ basis.T) @ left
    size = float(np.linalg.norm(truth))
    relative = float(np.linalg.norm(error)) / size if size > 0 else 0.0
    return symmetric_product(-left, basis), {"rank": rank, "relative_error": relative}


def pas_outer(gradients: Any) -> Float[np.ndarray, "players players"]:
    """Return the public code's stand-in for PAS, `-E_x[(g_i a_i) (g_j a_j)]`, from `gradients` [outputs, players].

    This is a product of first-order effects, not an interaction: two neurons that raise the score of the same texts get a
    negative affinity whether or not they interact, and a neuron that raises it and one that lowers it get a positive one.
    The unit is that of the output squared. Up to its sign, which cancels in the product, g_i a_i (summed over tokens) is
    the derivative with respect to the amount of ablation.

    Reference: the public code of Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684.
    Deviations from the paper: this is not what the paper defines as PAS; kept for comparison.

    Raises `ValueError` for values that are not finite.
    """
    first = matrix("gradients", gradients)
    return symmetric_product(first / (-2 * len(first)), first)


def _outputs(
    game: Game, sets: Sequence[tuple[int, ...]], mean: bool
) -> tuple[Float[np.ndarray, "sets outputs"], float]:
    """Outputs under each ablated set, or their mean as one column, in float64; and 8 units in the last place of the largest."""
    parts, rounding = [], 0.0
    for start in range(0, len(sets), _AT_ONCE):
        part = matrix("outputs", game.ablate(game.masks(list(sets[start : start + _AT_ONCE]))))
        rounding = max(rounding, 8 * float(np.finfo(part.dtype).eps) * float(np.abs(part).max()))
        exact = part.astype(np.float64)
        parts.append(exact.mean(axis=1, keepdims=True) if mean else exact)
    return (np.concatenate(parts) if parts else np.zeros((0, 1))), rounding


def _products(game: Game, directions: Float[np.ndarray, "m players"]) -> Float[np.ndarray, "m players"]:
    """The Hessian of the mean output times each direction, float32."""
    rows = torch.from_numpy(np.ascontiguousarray(directions, dtype=np.float32))
    return np.concatenate([matrix("second derivatives", game.hessian_products(part)) for part in rows.split(_AT_ONCE)])
