"""Outputs under many masks: small sets through the low-rank last layer, large ones on the dense stream."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from coterie.tasks.engine.batch import Batch, Part
from coterie.tasks.engine.last_layer import LowRankLastLayer
from coterie.tasks.engine.layer_arguments import attends_to_all
from coterie.tasks.engine.prefix import Prefix
from coterie.tasks.engine.threads import evenly, for_each, tokens_per_thread

_WORTH_A_LOW_RANK_FORM = 8  # masks per call; for fewer, the form is not worth its memory

Piece = tuple[Batch, Part, list[int]]  # the last are positions of masks


class Ablations:
    """Replays a prefix with sets of players ablated, `tokens_at_once` tokens at a time."""

    def __init__(self, prefix: Prefix, tokens_at_once: int) -> None:
        self._prefix, self._site, self._after = prefix, prefix.site, prefix.after
        self._tokens_at_once = tokens_at_once
        self._per_thread = tokens_per_thread(tokens_at_once, self._site.w.device)

    @torch.no_grad()
    def outputs(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m pairs"]:
        """The outputs with each mask ablated, in the model's dtype, on the CPU."""
        w = self._site.w
        results = torch.empty(len(masks), len(self._prefix.scores), dtype=w.dtype)
        groups = [mask[self._site.owner].nonzero()[:, 0] for mask in masks.to(w.device)]
        if len(masks) >= _WORTH_A_LOW_RANK_FORM:
            self.add_low_rank_forms()
        pieces: list[Piece] = []
        for batch in self._prefix.batches:
            large = self._outputs_of_small_sets(batch, groups, results)
            for part in batch.parts:
                pieces += [(batch, part, chunk) for chunk in evenly(large, self._per_thread // len(part.columns))]
        for_each(pieces, lambda piece: self._replay(piece, groups, results), w.device)
        return results

    def add_low_rank_forms(self) -> None:
        """Give every batch its low-rank form if the layer after the site is the last one and has such a form."""
        layer = None if self._after.rotary is None else self._after.rotary.last
        if layer is None or len(self._after.layers) != 1 or not layer.has_low_rank_form:
            return
        batches = self._prefix.batches
        for i, b in enumerate(batches):
            if b.low_rank is None and attends_to_all(b.layer_arguments):
                rotary = b.layer_arguments[0][1]["position_embeddings"]
                form = LowRankLastLayer(layer, b.residual, b.last, b.z, self._site.w, rotary)
                batches[i] = replace(b, low_rank=form)

    def _outputs_of_small_sets(self, batch: Batch, groups: list[Tensor], results: Tensor) -> list[int]:
        """Fill in the masks that the batch's low-rank form computes faster; return the others."""
        form = batch.low_rank
        if form is None:
            return list(range(len(groups)))
        small = [i for i, rows in enumerate(groups) if form.pays(len(rows))]
        at_once = 64 * max(1, self._tokens_at_once // batch.residual[..., 0].numel())
        for start in range(0, len(small), at_once):
            chunk = small[start : start + at_once]
            final = form.outputs([groups[i] for i in chunk])
            results[torch.tensor(chunk)[:, None], batch.rows] = self._after.tail.of_token(final).cpu()
        return sorted(set(range(len(groups))) - set(small))

    @torch.no_grad()  # a new thread does not inherit the caller's setting
    def _replay(self, piece: Piece, groups: list[Tensor], results: Tensor) -> None:
        """Fill in some masks' outputs of the pairs of one part."""
        batch, part, chunk = piece
        hidden = torch.stack([self._without(batch, part, groups[i]) for i in chunk])
        outputs = self._after.outputs(hidden, batch, part.tokens).cpu()
        results[torch.tensor(chunk)[:, None], batch.rows[part.pairs]] = outputs

    def _without(self, batch: Batch, part: Part, rows: Tensor) -> Float[Tensor, "distinct d_model"]:
        """The stream after the site without these rows of (z, w)."""
        z = batch.z[rows].index_select(1, part.columns)
        return torch.addmm(part.residual, z.T, self._site.w[rows], alpha=-1)
