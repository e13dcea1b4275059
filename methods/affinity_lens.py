"""PAS at the lens readout, in closed form: exact for all pairs, and its second-order part as matrix products.

Notation, for one query-document pair: D_i is what player i writes and an ablation takes away, h the residual stream of the
last token, w the head with the norm's gain in it, R = mean(h^2) + eps, d the width, and

    c_i = w.D_i / sqrt(R),   rho_i = h.D_i / (d R),   N = w.h / sqrt(R) = s(x; {}),
    y_A = -2 sum_{i in A} rho_i + sum_{i,j in A} D_i.D_j / (d R),   so that   s(x; A) = (N - sum_A c_i) / sqrt(1 + y_A).

All of these are inner products, so a matrix over pairs needs no pass through the network beyond the one for the lens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from coterie.methods.arrays import matrix, symmetric
from coterie.methods.fused import add_pairs
from coterie.tasks.engine.fused import in_threads

if TYPE_CHECKING:
    from jaxtyping import Float

    from coterie.tasks.lens import Lens

_TILE = 512  # players per side of a tile, so that their vectors of outputs stay in a core's cache
_BLOCK = 1024  # players per side of a block of matrix products


@dataclass(frozen=True)
class _Terms:
    """The terms of the module's notation, for all outputs (query-document pairs) and players."""

    score: Float[np.ndarray, " outputs"]
    """N."""
    lost: Float[np.ndarray, "outputs players"]
    """c."""
    along: Float[np.ndarray, "outputs players"]
    """rho."""
    z: Float[np.ndarray, "parts outputs players"]
    """Activations over sqrt(d R), so that z_i z_j times the inner product of two write vectors is D_i.D_j / (d R)."""
    writes: Float[np.ndarray, "parts players d_model"]
    """Write vectors."""
    floor: Float[np.ndarray, " outputs"]
    """eps / R, the smallest possible value of 1 + y."""

    @classmethod
    def of(cls, lens: Lens) -> _Terms:
        """Compute the terms in float64, because later steps subtract nearly equal numbers."""
        hidden = matrix("residual stream", lens.residual).astype(np.float64)
        head = matrix("head", lens.head[None])[0].astype(np.float64)
        taken = np.stack([matrix("activations", part) for part in lens.taken]).astype(np.float64)
        writes = np.stack([matrix("write vectors", part) for part in lens.writes])
        square = (hidden**2).mean(axis=1) + lens.epsilon
        width = hidden.shape[1]
        along, lost = np.zeros(taken.shape[1:]), np.zeros(taken.shape[1:])
        for z, u in zip(taken, writes, strict=True):
            along += z * (hidden @ u.T)
            lost += z * (u @ head)
        return cls(
            score=hidden @ head / np.sqrt(square),
            lost=lost / np.sqrt(square)[:, None],
            along=along / (width * square)[:, None],
            z=taken / np.sqrt(width * square)[:, None],
            writes=writes,
            floor=lens.epsilon / square,
        )

    def own(self) -> Float[np.ndarray, "outputs players"]:
        """D_i.D_i / (d R) of each player."""
        parts = range(len(self.z))
        together = [
            self.z[p] * self.z[q] * np.einsum("ij,ij->i", self.writes[p], self.writes[q], dtype=np.float64)
            for p in parts
            for q in parts
        ]
        return np.sum(together, axis=0)


def pas_lens(lens: Lens) -> Float[np.ndarray, "players players"]:
    """Return the exact pairwise synergy at the lens readout, in units of the score.

    It is psi_ij = mean_x [f({i,j}) - f({i}) - f({j})] with f(A) = s(x; {}) - s(x; A). With
    g(y) = 1 / sqrt(1 + y) - 1 = -y / (1 + y + sqrt(1 + y)),

        psi_ij = mean_x [(N - c_i) g(y_i) + (N - c_j) g(y_j) - (N - c_i - c_j) g(y_ij)].

    The additive parts cancel in exact arithmetic, so float32 suffices for the last term. The cost is outputs x players^2
    square roots, and the memory of the result and its tiles.

    Reference: the definition of PAS in Chowdhury, Nijasure, Zick, Allan (2026), arXiv 2509.23684; closed form: coterie.
    Deviations from the paper: the readout is the final norm and head on the layer's own output, not the model's final
    logit; the values at this readout are exact. Synergy is positive, because f is the drop of the score.

    Raises `ValueError` for values that are not finite.
    """
    terms = _Terms.of(lens)
    y = terms.own() - 2 * terms.along
    rest = np.maximum(1 + y, terms.floor[:, None])
    single = (-(terms.score[:, None] - terms.lost) * y / (rest + np.sqrt(rest))).mean(axis=0)
    kept = (terms.score[:, None] / 2 - terms.lost).astype(np.float32)  # those of i and j add up to N - c_i - c_j
    y, z, floor = y.astype(np.float32), (np.sqrt(2) * terms.z).astype(np.float32), terms.floor.astype(np.float32)
    parts, threads = range(len(z)), torch.get_num_threads()

    def tile(left: slice, right: slice) -> Float[np.ndarray, "left right"]:
        overlap = np.array([[terms.writes[p][left] @ terms.writes[q][right].T for q in parts] for p in parts])
        total = np.zeros((left.stop - left.start, right.stop - right.start), dtype=np.float32)
        in_threads(
            add_pairs, len(total), threads,
            *(np.ascontiguousarray(part) for part in (y[:, left], z[:, :, left], kept[:, left])),
            *(np.ascontiguousarray(part) for part in (y[:, right], z[:, :, right], kept[:, right])),
            overlap, floor, total,
        )  # fmt: skip
        return total / len(y) + np.add.outer(single[left], single[right])

    return symmetric(y.shape[1], _TILE, tile)


def pas_lens_hessian(lens: Lens) -> Float[np.ndarray, "players players"]:
    """Return the second-order part of `pas_lens`, in units of the score.

    It takes three matrix products of players x outputs x players:

        psi_ij = -mean_x D_i' H D_j = mean_x [c_i rho_j + rho_i c_j - 3 N rho_i rho_j + N D_i.D_j / (d R)],

    with H the second derivative of the readout with respect to the residual stream.

    Reference: that of `pas_lens`; the paper's own approximation at scale is the mixed second derivative.
    Deviations from the paper: the derivative is in closed form at the lens readout, not by differences.

    Raises `ValueError` for values that are not finite.
    """
    terms = _Terms.of(lens)
    outputs, players = terms.lost.shape
    along = terms.along.astype(np.float32)
    left = ((terms.lost - 1.5 * terms.score[:, None] * terms.along) / outputs).astype(np.float32)
    z = terms.z.astype(np.float32)
    weighted = (terms.z * (terms.score / outputs)[:, None]).astype(np.float32)
    parts = range(len(z))

    def block(rows: slice, columns: slice) -> Float[np.ndarray, "rows columns"]:
        total: Float[np.ndarray, "rows columns"] = left[:, rows].T @ along[:, columns]
        total += along[:, rows].T @ left[:, columns]
        for p in parts:
            for q in parts:
                overlap = terms.writes[p][rows] @ terms.writes[q][columns].T
                total += (weighted[p][:, rows].T @ z[q][:, columns]) * overlap
        return total

    return symmetric(players, _BLOCK, block)
