"""The rest of the network: from the stream that players write to down to one output per pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coterie.tasks.engine.batch import Batch
from coterie.tasks.engine.layer_arguments import Arguments, attends_to_all, repeated
from coterie.tasks.engine.rotary_layer import RotaryLayers
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.engine.tokens import Tokens
from coterie.tasks.rerankers.architectures import row_of_layer
from coterie.tasks.rerankers.reranker import Reranker
from coterie.tasks.rerankers.site import Site, first
from coterie.tasks.rerankers.tail import Tail


class AfterSite:
    """What is replayed: the layers after the site (none for the readout `lens`), final norm, pooling and head."""

    def __init__(self, reranker: Reranker, site: Site, spec: SiteSpec) -> None:
        model: Any = reranker.model
        row = reranker.row_of(spec.layer)
        stack = [m for i, m in enumerate(reranker.layers) if row_of_layer(model, reranker.row, i) is row]
        following = stack[stack.index(site.layer) + 1 :]
        self._site, self._pooled = site, row.pooled
        self.layers = following if spec.readout == "score" else []
        layout = row.rotary if self.layers else None
        self.rotary = None if layout is None else RotaryLayers.of(layout, self.layers)
        self.tail = Tail(reranker, row)
        self.gives_scores = bool(self.layers) or not following
        """Whether the outputs with nothing ablated are the model's own scores."""
        self.mixes_tokens = bool(self.layers) or self.tail.mixes_tokens
        """Whether every token reaches the output; if not, only the pooled token is kept."""
        self.shares_prefixes = self.rotary is not None and len(self.layers) > 1
        """Whether tokens that several pairs share are replayed once."""
        self.norms_stream = row.branch_norm is not None or row.sum_norm is not None
        """Whether the layer itself applies a norm to what the players write to."""
        in_decoder = reranker.row.decoder is not None and row.decoder is None
        self._start = int(model.config.decoder_start_token_id) if in_decoder else None

    def kept_tokens(self, ids: list[int]) -> list[int]:
        """The ids of those tokens of a pair whose activations are kept: all, or only the pooled one.

        In the decoder of an encoder-decoder, that is its start token.
        """
        if self._start is not None:
            return [self._start]
        if self.mixes_tokens:
            return ids
        return ids[-1:] if self._pooled == "last" else ids[:1]

    def lengths(self, inputs: Sequence[list[int]]) -> list[int]:
        """The number of tokens of each pair that go through the layers of the site's stack."""
        return [1 if self._start is not None else len(ids) for ids in inputs]

    def pooled(self, lengths: Int[Tensor, " pairs"]) -> Int[Tensor, " pairs"]:
        """The index of each pair's pooled token."""
        return lengths - 1 if self._pooled == "last" else torch.zeros_like(lengths)

    def replays_distinct_tokens(self, arguments: list[Arguments]) -> bool:
        """Whether these layers can be computed over distinct tokens: known layout, attention to all earlier tokens."""
        return self.rotary is not None and attends_to_all(arguments)

    def outputs(
        self, hidden: Float[Tensor, "m distinct d_model"], batch: Batch, tokens: Tokens
    ) -> Float[Tensor, "m pairs"]:
        """The outputs from the stream after the site at the distinct tokens of some of a batch's pairs."""
        arguments = batch.layer_arguments
        if self.rotary is not None and attends_to_all(arguments):
            return self.tail.of_token(self.rotary.output(hidden, tokens, arguments[-1][1]["position_embeddings"]))
        (pairs, width), m = tokens.place.shape, len(hidden)
        skip = None if batch.skip is None else batch.skip.repeat(m, 1, 1)
        flat = self._site.output(hidden.view(m * pairs, width, -1), skip)
        for layer, one in zip(self.layers, arguments, strict=True):
            positional, keywords = repeated(one, pairs, m)
            flat = first(layer(flat, *positional, **keywords))
        return self.tail.scores(flat, tokens.position[tokens.last].repeat(m), batch.lengths.repeat(m)).view(m, pairs)
