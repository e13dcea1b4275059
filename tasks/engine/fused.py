"""Fused CPU kernels of the low-rank last layer: one pass over a pair's tokens, no temporary array in memory.

They compute the formulas of `coterie.tasks.engine.last_layer` for float32 and float64; the tests compare them with the
same formulas in torch. Numba compiles them at the first call and keeps them in its cache. All arrays are C-contiguous.
A kernel works on the items `first` to `stop` of the flattened (pair, mask) index, so that a pair stays in the processor's
cache, and it releases the GIL.

The helpers of `attend` are inlined before compilation, so splitting it costs nothing at run time and leaves the order of
the additions unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from coterie.tasks.engine.layout import LANES

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}
compiled = numba.njit(nogil=True, cache=True, **_OPTIONS)
_inlined = numba.njit(inline="always", **_OPTIONS)


def in_threads(kernel: Callable[..., None], items: int, threads: int, *arguments: Any) -> None:
    """Run `kernel(first, stop, *arguments)` over `range(items)`, an equal share per thread."""
    bounds = np.linspace(0, items, min(threads, items) + 1).astype(int).tolist()
    if len(bounds) <= 2:
        kernel(0, items, *arguments)
        return
    with ThreadPoolExecutor(len(bounds) - 1) as pool:
        list(pool.map(lambda a, b: kernel(a, b, *arguments), bounds[:-1], bounds[1:]))


@compiled
def strip(first, stop, hidden, z, w, rows, starts, last, stripped):  # type: ignore[no-untyped-def]
    """`stripped[m, b] = hidden[b] - sum_{j in m} z[j, b, last[b]] w[j]`."""
    masks = len(stripped)
    for item in range(first, stop):
        b, m = divmod(item, masks)
        out = stripped[m, b]
        out[:] = hidden[b]
        for k in range(starts[m], starts[m + 1]):
            j = rows[k]
            out -= z[j, b, last[b]] * w[j]


@compiled
def attend(  # type: ignore[no-untyped-def]
    first, stop, query, keys, values, shift, z, cross, place, gram, square, rows, starts,
    w_keys, w_values, cos, sin, last, scaling, width, epsilon, mixed,
):  # fmt: skip
    """`mixed[m, b]` [heads, size] from the rotated `query[m, b]`: attention of the last token under ablation.

    T' is T rounded up to a multiple of `LANES`. Shapes: keys and values [B, kv, size, T'], shift [kv, size, T'] or empty,
    z [rows, B, T], cross [used rows, B, T] = w_j . h_t, gram [used, used] = w_i . w_j, square [B, T'] = |h_t|^2, w_keys and
    w_values [rows, kv, size], cos and sin [rotated / 2, T']. `place` is the index of each row in cross and gram. The rows
    of mask m are rows[starts[m] : starts[m + 1]].
    """
    masks, _, heads, size = query.shape
    kv_heads, tokens = keys.shape[1], keys.shape[3]
    number = z.dtype.type  # a bare Python number would turn everything it touches into float64
    scaling, width, epsilon = number(scaling), number(width), number(epsilon)
    sharing, most = heads // kv_heads, np.diff(starts).max()
    inverse, logit, moved = np.zeros(tokens, z.dtype), np.zeros(tokens, z.dtype), np.zeros(tokens, z.dtype)
    lost, taken = np.zeros((size, tokens), z.dtype), np.zeros((most, tokens), z.dtype)
    for item in range(first, stop):
        b, m = divmod(item, masks)
        group, at = rows[starts[m] : starts[m + 1]], place[starts[m] : starts[m + 1]]
        seen = (last[b] // LANES + 1) * LANES
        inverse[:seen] = square[b, :seen]
        _inverse_rms(b, seen, group, at, z, cross, gram, width, epsilon, taken, moved, inverse)
        for kv in range(kv_heads):
            _lose_keys(seen, group, kv, w_keys, taken, lost)
            for head in range(kv * sharing, (kv + 1) * sharing):
                q, out = query[m, b, head], mixed[m, b, head]
                _logits(seen, q, keys[b, kv], lost, cos, sin, logit)
                for t in range(seen):
                    logit[t] *= inverse[t]
                if len(shift):
                    for f in range(size):
                        row, amount = shift[kv, f], q[f]
                        for t in range(seen):
                            logit[t] += amount * row[t]
                logit[last[b] + 1 : seen] = -np.inf
                _softmax(seen, scaling, inverse, logit)
                _mix(seen, group, kv, values[b, kv], w_values, taken, logit, out)


@_inlined
def _inverse_rms(b, seen, group, at, z, cross, gram, width, epsilon, taken, moved, inverse):  # type: ignore[no-untyped-def]
    """Turn `inverse` [T'] from |h_t|^2 into 1 / r_t(A), and copy the group's rows of z to `taken`."""
    number, real = z.dtype.type, z.shape[2]
    zero, unit, two = number(0), number(1), number(2)
    for k in range(len(group)):
        one, p = taken[k], at[k]
        one[:real] = z[group[k], b]
        moved[:real] = two * cross[p, b]
        for t in range(seen):
            moved[t] -= gram[p, p] * one[t]
        for i in range(k):
            other, twice = taken[i], two * gram[p, at[i]]
            for t in range(seen):
                moved[t] -= twice * other[t]
        for t in range(seen):
            inverse[t] -= one[t] * moved[t]
    for t in range(seen):
        inverse[t] = unit / np.sqrt(max(inverse[t], zero) / width + epsilon)


@_inlined
def _lose_keys(seen, group, kv, w_keys, taken, lost):  # type: ignore[no-untyped-def]
    """`lost` [size, T'] = sum_{j in A} z_jt K_j of one key head."""
    size = len(lost)
    lost[:, :seen] = 0
    for k in range(0, len(group) - 3, 4):  # four rows at a time: a quarter of the loads and stores
        z_i, z_j, z_u, z_v = taken[k], taken[k + 1], taken[k + 2], taken[k + 3]
        i, j, u, v = group[k], group[k + 1], group[k + 2], group[k + 3]
        for f in range(size):
            row = lost[f]
            k_i, k_j, k_u, k_v = w_keys[i, kv, f], w_keys[j, kv, f], w_keys[u, kv, f], w_keys[v, kv, f]
            for t in range(seen):
                row[t] += k_i * z_i[t] + k_j * z_j[t] + k_u * z_u[t] + k_v * z_v[t]
    for k in range(len(group) // 4 * 4, len(group)):
        one, key = taken[k], w_keys[group[k], kv]
        for f in range(size):
            row, amount = lost[f], key[f]
            for t in range(seen):
                row[t] += amount * one[t]


@_inlined
def _logits(seen, q, keys, lost, cos, sin, logit):  # type: ignore[no-untyped-def]
    """`logit` [T'] = q . (keys - lost rotated by t), before the division by the root mean square."""
    half = len(cos)
    logit[:seen] = 0
    for f in range(half):  # both dimensions of a rotation together
        a, c, x, y = q[f], q[f + half], lost[f], lost[f + half]
        key_x, key_y, cosine, sine = keys[f], keys[f + half], cos[f], sin[f]
        for t in range(seen):
            turned = cosine[t] * (a * x[t] + c * y[t]) + sine[t] * (c * x[t] - a * y[t])
            logit[t] += a * key_x[t] + c * key_y[t] - turned
    for f in range(2 * half, len(q)):
        key, row, amount = keys[f], lost[f], q[f]
        for t in range(seen):
            logit[t] += amount * (key[t] - row[t])


@_inlined
def _softmax(seen, scaling, inverse, logit):  # type: ignore[no-untyped-def]
    """Turn logits into softmax weights over r_t(A), in place."""
    highest = logit[0]
    for t in range(seen):
        highest = max(highest, logit[t])
    total = logit.dtype.type(0)
    for t in range(seen):
        logit[t] = np.exp((logit[t] - highest) * scaling)
        total += logit[t]
    for t in range(seen):
        logit[t] *= inverse[t] / total


@_inlined
def _mix(seen, group, kv, values, w_values, taken, weight, out):  # type: ignore[no-untyped-def]
    """`out` [size] = sum_t weight_t (values_t - sum_{j in A} z_jt V_j) of one head."""
    zero = weight.dtype.type(0)
    for f in range(len(out)):
        value, amount = values[f], zero
        for t in range(seen):
            amount += weight[t] * value[t]
        out[f] = amount
    for k in range(len(group)):
        one, value = taken[k], w_values[group[k], kv]
        amount = zero
        for t in range(seen):
            amount += weight[t] * one[t]
        for f in range(len(out)):
            out[f] -= amount * value[f]
