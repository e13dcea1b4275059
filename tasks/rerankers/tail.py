"""What follows a reranker's layers: final norm, pooling and head, down to one score per pair.

In an encoder-decoder the tail of the encoder includes the whole decoder, which runs its first step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coterie.tasks.rerankers.architectures import after_layers
from coterie.tasks.rerankers.readouts import score_head

if TYPE_CHECKING:
    from torch import nn

    from coterie.tasks.rerankers.architectures import Architecture
    from coterie.tasks.rerankers.reranker import Reranker


class Tail:
    """From the output of the last layer to the scores, for the encoder or the decoder (`row`)."""

    def __init__(self, reranker: Reranker, row: Architecture) -> None:
        model: Any = reranker.model
        *before, head = after_layers(model, row)
        self.modules: list[nn.Module] = [*before, score_head(model, head, reranker.readout, reranker.columns)]
        self._pooled = row.pooled
        self._decoder: Any = None
        if row.pooled == "decoder":
            self._decoder, self._norm = model.decoder, model.encoder.final_layer_norm
            self._start = model.config.decoder_start_token_id

    @property
    def mixes_tokens(self) -> bool:
        """Whether every token of the last layer's output reaches the score, rather than only the pooled one."""
        return self._pooled in ("mean", "decoder")

    def of_token(self, pooled: Float[Tensor, "*shape d_model"]) -> Float[Tensor, "*shape"]:
        """The score from the pooled token's stream, for models that read only that token."""
        return self._through(self.modules, pooled)

    def scores(
        self, hidden: Float[Tensor, "rows tokens d_model"], last: Int[Tensor, " rows"], lengths: Int[Tensor, " rows"]
    ) -> Float[Tensor, " rows"]:
        """The score of each row. `last` is the index of the pooled token; `lengths` counts tokens without padding."""
        if not self.mixes_tokens:
            return self.of_token(hidden[torch.arange(len(hidden), device=hidden.device), last])
        mask = torch.arange(hidden.shape[1], device=hidden.device)[None] < lengths[:, None]
        if self._decoder is None:
            normed = self.modules[0](hidden)
            mean = (normed * mask[..., None]).sum(1) / lengths[:, None].to(normed)
            return self._through(self.modules[1:], mean)
        start = torch.full((len(hidden), 1), self._start, device=hidden.device)
        decoded = self._decoder(
            input_ids=start,
            encoder_hidden_states=self._norm(hidden),
            encoder_attention_mask=mask.long(),
            use_cache=False,
        ).last_hidden_state[:, 0]
        return self._through(self.modules[-1:], decoded)  # the decoder's output is normed already

    @staticmethod
    def _through(modules: list[nn.Module], hidden: Tensor) -> Tensor:
        for module in modules:
            hidden = module(hidden)
        return hidden[..., 0]
