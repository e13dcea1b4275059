"""OCA, the affinity of neurons that fire together and write in different directions, with correlation or covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from coterie.methods.arrays import matrix, symmetric, unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float

_BLOCK_BYTES = 64 * 2**20  # float64 columns standardised at a time
_CONSTANT = 1e-7  # standard deviation over root mean square: anything below is float32 rounding


def oca(activations: Any, write_vectors: Any) -> Float[np.ndarray, "players players"]:
    """Return the output-coactivation affinity, `phi_ij = (1 - |cos(u_i, u_j)|) * rho(a_i, a_j)`.

    Two neurons reinforce each other if they fire together (rho, the Pearson correlation of columns of `activations`, rows x
    players) and write in different directions (cos, the cosine of rows of `write_vectors`, players x d_model). The affinity
    is dimensionless, in [-1, 1], and 0 for players that never vary or write nothing. Means and deviations are computed in
    float64, products of unit vectors in float32.

    Reference: Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684.
    Deviations from the paper: none; its public code uses covariance instead of correlation.

    Raises `ValueError` for values that are not finite and for shapes that do not match.
    """
    acts, directions = _checked(activations, write_vectors)
    return _overlap_free(acts, directions, *_moments(acts), limit=1.0)


def oca_cov(activations: Any, write_vectors: Any) -> Float[np.ndarray, "players players"]:
    """Return OCA with covariance, `phi_ij = (1 - |cos(u_i, u_j)|) * cov(a_i, a_j)`, in squared units of activation.

    This is `oca` with the mean over rows of (a_i - mean_i) (a_j - mean_j) instead of the correlation, so neurons that fire
    strongly have strong affinities.

    Reference: the public code of Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684.
    Deviations from the paper: covariance replaces correlation, as in its public code.

    Raises `ValueError` for values that are not finite and for shapes that do not match.
    """
    acts, directions = _checked(activations, write_vectors)
    mean, scale = _moments(acts)
    return _overlap_free(acts, directions, mean, (scale > 0) / np.sqrt(len(acts)), limit=np.inf)


def _checked(
    activations: Any, write_vectors: Any
) -> tuple[Float[np.ndarray, "rows players"], Float[np.ndarray, "players d_model"]]:
    """Activations, and the write vectors as unit vectors in float32 (zero for neurons that write nothing)."""
    acts, writes = matrix("activations", activations), matrix("write vectors", write_vectors)
    if acts.shape[1] != len(writes):
        raise ValueError(
            f"activations and write vectors: expected (rows, players) and (players, d_model), got {acts.shape} and "
            f"{writes.shape}; fix: pass activations and write vectors of the same players"
        )
    return acts, unit_rows(writes)[0].astype(np.float32)


def _overlap_free(
    acts: Float[np.ndarray, "rows players"],
    directions: Float[np.ndarray, "players d_model"],
    mean: Float[np.ndarray, " players"],
    scale: Float[np.ndarray, " players"],
    limit: float,
) -> Float[np.ndarray, "players players"]:
    """`1 - |cos|` times the inner products of the centred and scaled columns, which are clipped to +- `limit`."""

    def block(left: slice, right: slice) -> Float[np.ndarray, "left right"]:
        waves = (_standardised(acts[:, part], mean[part], scale[part]) for part in (left, right))
        together = np.clip(next(waves).T @ next(waves), -limit, limit)
        overlap = np.clip(np.abs(directions[left] @ directions[right].T), 0, 1)
        phi: Float[np.ndarray, "left right"] = (1 - overlap) * together
        return phi

    phi = symmetric(len(directions), _step(*acts.shape), block)
    dead = ~directions.any(axis=1)
    phi[dead] = phi[:, dead] = 0
    return phi


def _step(rows: int, n: int) -> int:
    """The number of columns for which their float64 copy and their part of the matrix stay below the block size."""
    return max(16, _BLOCK_BYTES // (8 * max(rows, n)))


def _moments(
    acts: Float[np.ndarray, "rows players"],
) -> tuple[Float[np.ndarray, " players"], Float[np.ndarray, " players"]]:
    """Means of the columns, and the inverse norms of the centred columns (0 for columns that do not vary)."""
    mean, scale = np.empty(acts.shape[1]), np.empty(acts.shape[1])
    step = _step(*acts.shape)
    for start in range(0, acts.shape[1], step):
        part = slice(start, start + step)
        columns = acts[:, part]
        mean[part] = columns.mean(axis=0, dtype=np.float64)
        deviation = np.linalg.norm(columns - mean[part], axis=0)
        varies = deviation > _CONSTANT * np.sqrt(deviation**2 + len(columns) * mean[part] ** 2)
        scale[part] = varies / np.where(varies, deviation, 1.0)
    return mean, scale


def _standardised(
    columns: Float[np.ndarray, "rows block"], mean: Float[np.ndarray, " block"], scale: Float[np.ndarray, " block"]
) -> Float[np.ndarray, "rows block"]:
    """Centred and scaled columns, whose inner products are correlations or covariances; constant columns become 0."""
    return ((columns - mean) * scale).astype(np.float32)
