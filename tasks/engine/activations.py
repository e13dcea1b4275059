"""The activations of the players, from the cached run of the network up to the site."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from coterie.tasks.engine.prefix import Prefix
from coterie.tasks.game import Pooling


def activations_by_pair(prefix: Prefix) -> Iterator[tuple[int, Float[Tensor, "tokens players"]]]:
    """Each pair's row in the outputs and the activations at its real tokens in order, in the model's dtype.

    An expert's activation is the mean of its neurons'.
    """
    site = prefix.site
    for batch in prefix.batches:
        real = batch.activations(site.own_rows) + prefix.offset
        if not site.one_row_each:
            real = real.unflatten(-1, (site.n_players, -1)).mean(-1)
        yield from zip(batch.rows.tolist(), real.split(batch.lengths.tolist()), strict=True)


def pooled_activations(prefix: Prefix, pooling: Pooling) -> Float[Tensor, "rows players"]:
    """The activations as float32, one row per real token, or per pair: the mean over its tokens, or its last token's."""
    pairs, tokens = len(prefix.scores), sum(int(batch.lengths.sum()) for batch in prefix.batches)
    rows, filled = torch.empty(tokens if pooling == "tokens" else pairs, prefix.site.n_players), 0
    for row, own in activations_by_pair(prefix):
        if pooling == "tokens":
            rows[filled : filled + len(own)] = own
            filled += len(own)
        else:
            rows[row] = own.mean(0) if pooling == "mean" else own[-1]
    return rows
