"""What methods need of matrices that games hand out: checked numpy arrays, and unit rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_ROWS = 4096  # checked at once: the check needs no copy of the whole matrix


def matrix(name: str, values: Any) -> Float[np.ndarray, "rows columns"]:
    """`values` (numpy or torch) as a 2-D float array, float32 unless it is float64 already.

    Raises ``ValueError`` where it has another shape or a value that is not finite.
    """
    array = np.asarray(values)
    if array.dtype != np.float64:
        array = array.astype(np.float32, copy=False)
    if array.ndim != 2 or array.shape[0] == 0:
        raise ValueError(
            f"{name}: expected a matrix with at least one row, got shape {array.shape}; fix: pass all rows"
        )
    for start in range(0, len(array), _ROWS):
        finite = np.isfinite(array[start : start + _ROWS])
        if not finite.all():
            row, column = (int(i) for i in np.argwhere(~finite)[0])
            raise ValueError(
                f"{name}: expected finite numbers, got {array[start + row, column]} in row {start + row}, column {column}; "
                f"fix: load the model in float32 and look for the first layer that is not finite"
            )
    return array


def unit_rows(
    array: Float[np.ndarray, "rows columns"],
) -> tuple[Float[np.ndarray, "rows columns"], Bool[np.ndarray, " rows"]]:
    """Rows divided by their Euclidean norm, and which rows have one (a zero row stays zero)."""
    norms = np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
    live = norms > 0
    return array / np.where(live, norms, 1.0)[:, None].astype(array.dtype), live
