"""What the ablation engine keeps of the pairs of a batch, between the forward pass and the replays."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from coterie.tasks.engine.last_layer import LowRankLastLayer
from coterie.tasks.engine.layer_arguments import Arguments
from coterie.tasks.engine.tokens import Tokens


@dataclass(frozen=True)
class Part:
    """Pairs of a batch that are replayed together, and the tokens that this takes."""

    pairs: slice
    tokens: Tokens
    columns: Tensor  # [distinct] the tokens among the batch's B * T
    residual: Tensor  # [distinct, d_model] the stream that players write to


@dataclass(frozen=True)
class Batch:
    """What is kept of some pairs; B pairs, T tokens (1 where only the last token is needed), n players."""

    rows: Tensor  # [B] where the pairs stand in the output
    last: Tensor  # [B] index of the last real token among the T
    lengths: Tensor  # [B] number of real tokens
    residual: Tensor  # [B, T, d_model] the stream that players write to
    skip: Tensor | None  # [B, T, d_model] what is added to it after a norm of the MLP's output
    z: Tensor  # [rows, B * T] what an ablated player takes away: a mask picks contiguous rows
    layer_arguments: list[Arguments]  # what the model hands to each later layer (rotary tables, masks)
    parts: list[Part]
    low_rank: LowRankLastLayer | None = None  # where the last layer follows the site
