"""The terms of the logit lens (`coterie.tasks.lens`), from the cached run of the network up to the site."""

from __future__ import annotations

import torch

from coterie.tasks.engine.prefix import Prefix
from coterie.tasks.lens import Lens, fold_gain, has_lens


def supports_lens(prefix: Prefix) -> bool:
    """Whether the lens readout at the site has the closed form of `Lens`."""
    tail = prefix.after.tail
    if not prefix.site.one_row_each or prefix.after.norms_stream or tail.mixes_tokens:
        return False
    return len(tail.modules) == 2 and has_lens(*tail.modules)


def lens_of(prefix: Prefix) -> Lens:
    """The terms of the lens readout, on the CPU, in the model's dtype."""
    w, players, pairs = prefix.site.w, prefix.site.n_players, len(prefix.scores)
    parts = len(w) // players
    residual = torch.empty(pairs, w.shape[1], dtype=w.dtype)
    taken = torch.empty(parts, pairs, players, dtype=w.dtype)
    for batch in prefix.batches:
        at_last = torch.arange(len(batch.last), device=batch.last.device), batch.last
        residual[batch.rows] = batch.residual[at_last].cpu()
        z = batch.z.view(parts, players, *batch.residual.shape[:2])[:, :, *at_last]
        taken[:, batch.rows] = z.transpose(1, 2).cpu()
    head, epsilon = fold_gain(*prefix.after.tail.modules)
    return Lens(residual, taken, w.view(parts, players, -1).cpu(), head.cpu(), epsilon)
