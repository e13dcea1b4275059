"""What the engine keeps of a batch of pairs between the forward pass and the replays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coterie.tasks.engine.last_layer import LowRankLastLayer
from coterie.tasks.engine.layer_arguments import Arguments, picked
from coterie.tasks.engine.tokens import Tokens


@dataclass(frozen=True)
class Part:
    """Pairs of a batch that are replayed together, and their distinct tokens."""

    pairs: slice
    """The pairs' places in the batch."""

    tokens: Tokens
    """The distinct tokens."""

    columns: Int[Tensor, " distinct"]
    """Index of each distinct token among the batch's B * T."""

    residual: Float[Tensor, "distinct d_model"]
    """The stream that players write to."""

    @classmethod
    def of(cls, residual: Float[Tensor, "B T d_model"], pairs: slice, tokens: Tokens) -> Part:
        """Pick the tokens of some pairs out of a batch's stream."""
        tokens = tokens.to(residual.device)
        columns = tokens.columns(pairs.start, residual.shape[1])
        return cls(pairs, tokens, columns, residual.flatten(0, 1)[columns])


@dataclass(frozen=True)
class Batch:
    """B pairs of T tokens each; T is 1 if only the pooled token reaches the output."""

    rows: Int[Tensor, " B"]
    """The pairs' rows in the outputs, on the CPU."""

    last: Int[Tensor, " B"]
    """Index of the pooled token among the T: the last real one, or the first."""

    lengths: Int[Tensor, " B"]
    """Number of real tokens among the T."""

    residual: Float[Tensor, "B T d_model"]
    """The stream that players write to."""

    skip: Float[Tensor, "B T d_model"] | None
    """What is added to the stream after a norm of the MLP's output; None without such a norm."""

    z: Float[Tensor, "rows B*T"]
    """What an ablated player takes away. Transposed, so that a mask picks contiguous rows."""

    layer_arguments: list[Arguments]
    """What the model passes to each later layer besides the hidden states."""

    parts: list[Part]
    """Runs of consecutive pairs that are replayed together."""

    low_rank: LowRankLastLayer | None = None
    """The low-rank form of the last layer, if that layer follows the site and many masks have been requested."""

    def activations(self, own_rows: int) -> Float[Tensor, "real own_rows"]:
        """The first rows of z at the real tokens, pair by pair, without padding."""
        tokens = self.residual.shape[1]
        real = torch.arange(tokens, device=self.last.device)[None] < self.lengths[:, None]
        return self.z[:own_rows].T[real.flatten()]

    def split(self, most: int) -> Iterator[Batch]:
        """Split into pieces of at most `most` pairs, without parts or a low-rank form."""
        pairs, tokens = self.residual.shape[:2]
        for piece in torch.arange(pairs, device=self.last.device).split(most):
            yield Batch(
                rows=self.rows[piece.cpu()],
                last=self.last[piece],
                lengths=self.lengths[piece],
                residual=self.residual[piece],
                skip=None if self.skip is None else self.skip[piece],
                z=self.z.view(-1, pairs, tokens)[:, piece].flatten(1),
                layer_arguments=[picked(one, pairs, piece) for one in self.layer_arguments],
                parts=[],
            )
