"""Affinities between players: phi[i, j] > 0 says that i and j reinforce each other, < 0 that they stand in for each other.

All are symmetric float32 matrices with a zero diagonal, computed in blocks of columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from coterie.methods.arrays import matrix, unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float

_BLOCK_BYTES = 64 * 2**20  # of float64 columns standardised at once
_CONSTANT = 1e-7  # standard deviation over root mean square: below, float32 rounding is all the variation there is


def oca(activations: Any, write_vectors: Any) -> Float[np.ndarray, "players players"]:
    """Output-coactivation affinity: ``phi_ij = (1 - |cos(u_i, u_j)|) * rho(a_i, a_j)``.

    Two neurons that fire together (rho, Pearson correlation of the columns of `activations`, rows x players) and write
    in different directions (cos, of the rows of `write_vectors`, players x d_model) reinforce each other; dimensionless,
    in [-1, 1]. A player that never varies has no correlation and one that writes nothing has no direction: their
    affinities are 0. Means and deviations are taken in float64, products of unit vectors in float32.

    Reference: Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684.
    Deviations from the paper: none; its public code has covariance in place of correlation.

    Raises ``ValueError`` on values that are not finite and on shapes that do not fit.
    """
    acts, writes = matrix("activations", activations), matrix("write vectors", write_vectors)
    n = len(writes)
    if acts.shape[1] != n:
        raise ValueError(
            f"activations and write vectors: expected (rows, players) and (players, d_model), got {acts.shape} and "
            f"{writes.shape}; fix: the activations' columns and the write vectors' rows are the same players"
        )
    directions = unit_rows(writes)[0].astype(np.float32)
    dead = ~directions.any(axis=1)
    phi = np.empty((n, n), dtype=np.float32)
    step = max(16, _BLOCK_BYTES // (8 * max(len(acts), writes.shape[1], n)))
    blocks = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    mean, scale = (np.concatenate(parts) for parts in zip(*(_moments(acts[:, b]) for b in blocks), strict=True))
    for number, left in enumerate(blocks):
        waves = _standardised(acts[:, left], mean[left], scale[left])
        for right in blocks[number:]:
            rho = np.clip(waves.T @ _standardised(acts[:, right], mean[right], scale[right]), -1, 1)
            overlap = np.clip(np.abs(directions[left] @ directions[right].T), 0, 1)
            phi[left, right] = (1 - overlap) * rho
            phi[right, left] = phi[left, right].T
        phi[left, left] = np.triu(phi[left, left]) + np.triu(phi[left, left], 1).T
    phi[dead] = phi[:, dead] = 0
    np.fill_diagonal(phi, 0)
    return phi


def _moments(
    columns: Float[np.ndarray, "rows block"],
) -> tuple[Float[np.ndarray, " block"], Float[np.ndarray, " block"]]:
    """Means, and one over the norms after centring (0 for columns that do not vary)."""
    mean = columns.mean(axis=0, dtype=np.float64)
    deviation = np.linalg.norm(columns - mean, axis=0)
    varies = deviation > _CONSTANT * np.sqrt(deviation**2 + len(columns) * mean**2)
    return mean, varies / np.where(varies, deviation, 1.0)


def _standardised(
    columns: Float[np.ndarray, "rows block"], mean: Float[np.ndarray, " block"], scale: Float[np.ndarray, " block"]
) -> Float[np.ndarray, "rows block"]:
    """Columns centred and of norm 1, so that an inner product is a Pearson correlation; constant columns are 0."""
    return ((columns - mean) * scale).astype(np.float32)
