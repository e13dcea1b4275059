"""Compiled loops: the kernel of the lens affinity, and intersections of sets, without temporary arrays."""

from __future__ import annotations

import numpy as np

from coterie.tasks.engine.fused import compiled

_OUTPUTS = 32  # outputs at a time: their rows stay in the fastest cache while the loop runs over the players of a tile


@compiled
def add_pairs(  # type: ignore[no-untyped-def]
    first, stop, y, z, kept, other_y, other_z, other_kept, overlap, floor, total,
):  # fmt: skip
    """`total[i, j] += sum_x (kept_xi + kept_xj) g'(y_xij)` for the rows first to stop of a tile, float32.

    `y_xij = y_xi + y_xj + sum_pq z_pxi z_qxj overlap_pqij` and `g'(y) = y / (r + sqrt(r))`, r = max(1 + y, floor_x), in the
    notation of `coterie.methods.affinity_lens`. Shapes: y and kept [outputs, rows], z [parts, outputs, rows], the same with
    columns for the tile's columns, overlap [parts, parts, rows, columns].
    """
    outputs, columns = other_y.shape
    parts, square, one = len(z), other_y[0].copy(), np.float32(1)
    for start in range(0, outputs, _OUTPUTS):
        for i in range(first, stop):
            row = total[i]
            for x in range(start, min(start + _OUTPUTS, outputs)):
                own, mine, least, beside, weight = y[x, i], kept[x, i], floor[x], other_y[x], other_kept[x]
                for j in range(columns):
                    square[j] = own + beside[j]
                for p in range(parts):
                    for q in range(parts):
                        amount, theirs, product = z[p, x, i], other_z[q, x], overlap[p, q, i]
                        for j in range(columns):
                            square[j] += amount * theirs[j] * product[j]
                for j in range(columns):
                    rest = max(one + square[j], least)
                    row[j] += (mine + weight[j]) * square[j] / (rest + np.sqrt(rest))


@compiled
def intersect(wanted, player, packed, coalition):  # type: ignore[no-untyped-def]
    """`wanted[player[p]] &= packed[coalition[p]]` for every p in turn; rows are sets as bits in 64-bit words."""
    for p in range(len(player)):
        row, other = wanted[player[p]], packed[coalition[p]]
        for word in range(len(row)):
            row[word] &= other[word]
