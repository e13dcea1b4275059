"""Checks of the matrices that games return, and symmetric matrices over players built in blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_ROWS = 4096  # rows checked at a time, to avoid a copy of the whole matrix
_BLOCK = 1024  # players per block of a product


def matrix(name: str, values: Any) -> Float[np.ndarray, "rows columns"]:
    """Return `values` (numpy or torch) as a 2-D float array: float64 if they are, else float32.

    Raises `ValueError` for another shape and for a value that is not finite.
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
                f"fix: load the model in float32 and look for the first layer with such values"
            )
    return array


def unit_rows(
    array: Float[np.ndarray, "rows columns"],
) -> tuple[Float[np.ndarray, "rows columns"], Bool[np.ndarray, " rows"]]:
    """Return the rows divided by their Euclidean norms, and which rows are not zero (zero rows stay zero)."""
    norms = np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
    live = norms > 0
    return array / np.where(live, norms, 1.0)[:, None].astype(array.dtype), live


def symmetric(
    n: int, step: int, block: Callable[[slice, slice], Float[np.ndarray, "left right"]]
) -> Float[np.ndarray, "n n"]:
    """Build the float32 matrix of `block(rows, columns)`, computed above the diagonal and mirrored; the diagonal is 0."""
    result = np.empty((n, n), dtype=np.float32)
    parts = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    for number, left in enumerate(parts):
        for right in parts[number:]:
            result[left, right] = block(left, right)
            result[right, left] = result[left, right].T
        result[left, left] = np.triu(result[left, left]) + np.triu(result[left, left], 1).T
    np.fill_diagonal(result, 0)
    return result


def symmetric_product(
    left: Float[np.ndarray, "rows n"], right: Float[np.ndarray, "rows n"]
) -> Float[np.ndarray, "n n"]:
    """Return `left' right + right' left` with a diagonal of 0, float32, without a second array of that size."""

    def block(rows: slice, columns: slice) -> Float[np.ndarray, "rows columns"]:
        product: Float[np.ndarray, "rows columns"] = left[:, rows].T @ right[:, columns]
        product += right[:, rows].T @ left[:, columns]
        return product

    return symmetric(left.shape[1], _BLOCK, block)
