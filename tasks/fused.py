"""Fused kernels of the low-rank last layer for the CPU: one pass over a pair's tokens, no temporary array in memory.

They compute what :class:`coterie.tasks.last_layer.LowRankLastLayer` says in torch, for float32 and float64: the tests
hold them to each other. Compiled by numba at the first call and kept in its cache. All arrays are C-contiguous; a
kernel works on the pairs ``first`` to ``stop`` of the flattened (mask, pair) and lets go of Python's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

_compiled = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})


def in_threads(kernel: Callable[..., None], items: int, threads: int, *arguments: Any) -> None:
    """Run ``kernel(first, stop, *arguments)`` over ``range(items)``, an equal share a thread."""
    bounds = np.linspace(0, items, min(threads, items) + 1).astype(int).tolist()
    if len(bounds) <= 2:
        kernel(0, items, *arguments)
        return
    with ThreadPoolExecutor(len(bounds) - 1) as pool:
        list(pool.map(lambda a, b: kernel(a, b, *arguments), bounds[:-1], bounds[1:]))


@_compiled
def strip(first, stop, hidden, z, w, rows, starts, last, stripped):  # type: ignore[no-untyped-def]
    """``stripped[m, b] = hidden[b] - sum_{j in m} z[j, b, last[b]] w[j]``."""
    pairs = len(hidden)
    for item in range(first, stop):
        m, b = divmod(item, pairs)
        out = stripped[m, b]
        out[:] = hidden[b]
        for k in range(starts[m], starts[m + 1]):
            j = rows[k]
            out -= z[j, b, last[b]] * w[j]


@_compiled
def attend(  # type: ignore[no-untyped-def]
    first, stop, query, keys, values, shift, z, cross, place, gram, square, rows, starts,
    w_keys, w_values, cos, sin, last, scaling, width, epsilon, mixed,
):  # fmt: skip
    """``mixed[m, b]`` [heads, size] from the rotated ``query[m, b]``: attention of the last token under ablation.

    keys [B, kv, size, T], values [B, kv, T, size], shift [kv, size, T] (or none at all), z [rows, B, T], cross
    [used rows, B, T] = w_j . h_t and gram [used, used] = w_i . w_j with ``place``, each row's in them, square [B, T] = |h_t|^2,
    w_keys and w_values [rows, kv, size], cos and sin [rotated, T]; the rows of mask m are rows[starts[m] : starts[m + 1]].
    """
    _, pairs, heads, size = query.shape
    kv_heads, tokens = keys.shape[1], keys.shape[3]
    sharing, half = heads // kv_heads, len(cos) // 2
    inverse, logit, moved = np.empty(tokens, z.dtype), np.empty(tokens, z.dtype), np.empty(tokens, z.dtype)
    lost = np.empty((size, tokens), z.dtype)
    for item in range(first, stop):
        m, b = divmod(item, pairs)
        group, at, seen = rows[starts[m] : starts[m + 1]], place[starts[m] : starts[m + 1]], last[b] + 1
        inverse[:seen] = square[b, :seen]
        for k in range(len(group)):
            one, p = z[group[k], b], at[k]
            for t in range(seen):
                moved[t] = 2 * cross[p, b, t] - gram[p, p] * one[t]
            for i in range(k):
                other, twice = z[group[i], b], 2 * gram[p, at[i]]
                for t in range(seen):
                    moved[t] -= twice * other[t]
            for t in range(seen):
                inverse[t] -= one[t] * moved[t]
        for t in range(seen):
            inverse[t] = 1 / np.sqrt(max(inverse[t], 0) / width + epsilon)
        for kv in range(kv_heads):
            lost[:, :seen] = 0
            for k in range(len(group)):
                one, key = z[group[k], b], w_keys[group[k], kv]
                for f in range(size):
                    row, amount = lost[f], key[f]
                    for t in range(seen):
                        row[t] += amount * one[t]
            for head in range(kv * sharing, (kv + 1) * sharing):
                q, out = query[m, b, head], mixed[m, b, head]
                logit[:seen] = 0
                for f in range(size):
                    key, amount = keys[b, kv, f], q[f]
                    for t in range(seen):
                        logit[t] += amount * key[t]
                for f in range(half):
                    g = f + half
                    a, c = q[f], q[g]
                    for t in range(seen):
                        logit[t] -= a * (lost[f, t] * cos[f, t] - lost[g, t] * sin[f, t])
                        logit[t] -= c * (lost[g, t] * cos[g, t] + lost[f, t] * sin[g, t])
                for f in range(2 * half, size):
                    row, amount = lost[f], q[f]
                    for t in range(seen):
                        logit[t] -= amount * row[t]
                for t in range(seen):
                    logit[t] *= inverse[t]
                if len(shift):
                    for f in range(size):
                        row, amount = shift[kv, f], q[f]
                        for t in range(seen):
                            logit[t] += amount * row[t]
                highest = logit[0]
                for t in range(seen):
                    highest = max(highest, logit[t])
                total = z.dtype.type(0)
                for t in range(seen):
                    logit[t] = np.exp((logit[t] - highest) * scaling)
                    total += logit[t]
                out[:] = 0
                for t in range(seen):
                    logit[t] *= inverse[t] / total
                    value, amount = values[b, kv, t], logit[t]
                    for f in range(size):
                        out[f] += amount * value[f]
                for k in range(len(group)):
                    one, value = z[group[k], b], w_values[group[k], kv]
                    amount = z.dtype.type(0)
                    for t in range(seen):
                        amount += logit[t] * one[t]
                    for f in range(size):
                        out[f] -= amount * value[f]
