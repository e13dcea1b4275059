"""A decoder layer with rotary attention, replayed over distinct tokens: whole, or only at the last token of each pair.

The arithmetic is that of transformers, for the layouts of submodules in `ROTARY_LAYERS`. Tokens shared between pairs are
computed once (`tokens.py`), padding never, and in the last layer queries, output projection and MLP only at the last token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from coterie.tasks.engine.tokens import Tokens

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines [1 or rows, T, rotated dimensions of a head]."""

Projection = tuple[Tensor, Tensor | None]
"""Weight [heads x head size, d_model] and bias."""


@dataclass(frozen=True)
class RotaryLayer:
    """The parts of a layer."""

    norm: Any
    """The norm before the attention."""

    project: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    """From the normed stream to queries, keys and values [..., heads, size]."""

    scaling: float
    """The factor of the attention logits."""

    finish: Callable[[Tensor, Tensor], Tensor]
    """From stream and mixed values to the layer's output, at any tokens."""

    def output(
        self, hidden: Float[Tensor, "m distinct d_model"], tokens: Tokens, rotary: Rotary
    ) -> Float[Tensor, "m distinct d_model"]:
        """The layer's output at all distinct tokens; `rotary` has one row per distinct token [distinct, 1, rotated]."""
        query, key, value = self.project(self.norm(hidden))
        queries, keys, values = (
            tokens.spread(x).transpose(1, 2) for x in (rotate(query, *rotary), rotate(key, *rotary), value)
        )
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, scale=self.scaling, enable_gqa=queries.shape[1] != keys.shape[1]
        )
        return self.finish(hidden, tokens.collected(mixed.transpose(1, 2).flatten(2)))


@dataclass(frozen=True)
class LastLayer:
    """The parts of a layer that a replay at the last token needs."""

    norm: Any
    """The norm before the attention."""

    query: Projection
    """The projection to queries."""

    key: Projection
    """The projection to keys."""

    value: Projection
    """The projection to values."""

    size: int
    """Dimensions of a head."""

    scaling: float
    """The factor of the attention logits."""

    finish: Callable[[Tensor, Tensor], Tensor]
    """From stream and mixed values at the last token to the layer's output."""

    @property
    def heads(self) -> int:
        """Number of query heads."""
        return len(self.query[0]) // self.size

    @property
    def has_low_rank_form(self) -> bool:
        """Whether the norm is one that the formulas cover: RMSNorm or LayerNorm with a gain."""
        name = type(self.norm).__name__
        return name.endswith(("RMSNorm", "LayerNorm")) and self.norm.weight is not None

    def output(
        self, hidden: Float[Tensor, "m distinct d_model"], tokens: Tokens, rotary: Rotary
    ) -> Float[Tensor, "m pairs d_model"]:
        """The layer's output at each pair's last token; `rotary` as in `RotaryLayer.output`."""
        normed, last = self.norm(hidden), tokens.last
        key, value = (F.linear(normed, *one).unflatten(-1, (-1, self.size)) for one in (self.key, self.value))
        keys, values = (tokens.spread(x).transpose(1, 2) for x in (rotate(key, *rotary), value))
        query = F.linear(normed[:, last], *self.query).unflatten(-1, (-1, self.size))
        query = rotate(query, rotary[0][last], rotary[1][last]).flatten(0, 1)
        visible = torch.arange(keys.shape[2], device=last.device)[None] <= tokens.position[last][:, None]
        mixed = F.scaled_dot_product_attention(
            query[:, :, None],
            keys,
            values,
            attn_mask=visible.repeat(len(hidden), 1)[:, None, None],
            scale=self.scaling,
            enable_gqa=query.shape[1] != keys.shape[1],
        )
        return self.finish(hidden[:, last], mixed.view(len(hidden), len(last), -1))


def llama_layer(layer: Any) -> RotaryLayer:
    """A layer with Llama's submodule names."""
    attention = layer.self_attn

    def project(normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (
            module(normed).unflatten(-1, (-1, attention.head_dim))
            for module in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        return query, key, value

    def finish(stream: Tensor, mixed: Tensor) -> Tensor:
        stream = stream + attention.o_proj(mixed)
        output: Tensor = stream + layer.mlp(layer.post_attention_layernorm(stream))
        return output

    return RotaryLayer(layer.input_layernorm, project, attention.scaling, finish)


def last_llama_layer(layer: Any) -> LastLayer | None:
    """A Llama layer as the last one; None if a projection is not a plain linear map (unmerged LoRA)."""
    attention, whole = layer.self_attn, llama_layer(layer)
    query, key, value = (_projection(m) for m in (attention.q_proj, attention.k_proj, attention.v_proj))
    if query is None or key is None or value is None:
        return None
    return LastLayer(whole.norm, query, key, value, attention.head_dim, whole.scaling, whole.finish)


def gpt_neox_layer(layer: Any) -> RotaryLayer:
    """A GPT-NeoX layer: one map for queries, keys and values, head by head; the MLP parallel to or after the attention."""
    attention = layer.attention

    def project(normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = attention.query_key_value(normed).unflatten(-1, (-1, 3, attention.head_size)).unbind(-2)
        return query, key, value

    def finish(stream: Tensor, mixed: Tensor) -> Tensor:
        attended = stream + attention.dense(mixed)
        output: Tensor = attended + layer.mlp(
            layer.post_attention_layernorm(stream if layer.use_parallel_residual else attended)
        )
        return output

    return RotaryLayer(layer.input_layernorm, project, attention.scaling, finish)


def last_gpt_neox_layer(layer: Any) -> LastLayer | None:
    """A GPT-NeoX layer as the last one; None if the projection is not a plain linear map (unmerged LoRA)."""
    attention, whole = layer.attention, gpt_neox_layer(layer)
    fused = _projection(attention.query_key_value)
    if fused is None:
        return None
    size = attention.head_size
    weights = fused[0].view(-1, 3, size, fused[0].shape[1]).transpose(0, 1).flatten(1, 2)
    biases = [None] * 3 if fused[1] is None else fused[1].view(-1, 3, size).transpose(0, 1).flatten(1)
    query, key, value = ((weight.contiguous(), bias) for weight, bias in zip(weights, biases, strict=True))
    return LastLayer(whole.norm, query, key, value, size, whole.scaling, whole.finish)


ROTARY_LAYERS: dict[str, tuple[Callable[[Any], RotaryLayer], Callable[[Any], LastLayer | None]]] = {
    "llama": (llama_layer, last_llama_layer),
    "gpt_neox": (gpt_neox_layer, last_gpt_neox_layer),
}


@dataclass(frozen=True)
class RotaryLayers:
    """All layers after the site."""

    whole: tuple[RotaryLayer, ...]
    """All but the last, computed at all distinct tokens."""

    last: LastLayer
    """The last, computed at the last token of each pair."""

    @classmethod
    def of(cls, layout: str, layers: list[nn.Module]) -> RotaryLayers | None:
        """Layers of one layout; None if the last one cannot be computed only at the last token.

        Also None if they are spread over several devices, because the model's own layers must then pass the tensors on.
        """
        whole, at_last = ROTARY_LAYERS[layout]
        last = at_last(layers[-1])
        if last is None or len({p.device for layer in layers for p in layer.parameters()}) > 1:
            return None
        return cls(tuple(whole(layer) for layer in layers[:-1]), last)

    def output(
        self, hidden: Float[Tensor, "m distinct d_model"], tokens: Tokens, rotary: Rotary
    ) -> Float[Tensor, "m pairs d_model"]:
        """The last layer's output at each pair's last token, from the first layer's input and the model's own `rotary`."""
        cosine, sine = (table[0][tokens.position][:, None] for table in rotary)
        for layer in self.whole:
            hidden = layer.output(hidden, tokens, (cosine, sine))
        return self.last.output(hidden, tokens, (cosine, sine))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding in the half-split layout, of as many dimensions per head as the tables have."""
    part, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    first, second = part.chunk(2, dim=-1)
    rotated = part * cos + torch.cat((-second, first), dim=-1) * sin
    if not rest.shape[-1]:
        return rotated
    return torch.cat((rotated, rest.expand(*rotated.shape[:-1], -1)), dim=-1)


def _projection(module: nn.Module) -> Projection | None:
    """Weight and bias of a plain linear map; None for any other module."""
    return (module.weight.detach(), module.bias) if type(module) is nn.Linear else None
