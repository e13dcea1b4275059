"""A decoder layer with rotary attention, replayed over distinct tokens: whole, or at the last token of each pair only.

The same arithmetic as in transformers, for the layouts of submodules in :data:`ROTARY_LAYERS`. What it does without: every
token that another pair has already (:mod:`coterie.tasks.engine.tokens`), padding, and in the last layer all queries, output
projections and MLPs but those of the last token.
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

Rotary = tuple[Tensor, Tensor]  # cosines and sines, [1 or rows, T, rotated part of the head size]
Projection = tuple[Tensor, Tensor | None]  # weight [heads x head size, d_model] and bias


@dataclass(frozen=True)
class RotaryLayer:
    """What a layer is made of."""

    norm: Any  # before the attention
    project: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]  # queries, keys, values [..., heads, size]
    scaling: float
    finish: Callable[[Tensor, Tensor], Tensor]  # from stream and mixed values to the layer's output, at any tokens

    def output(
        self, hidden: Float[Tensor, "m distinct d_model"], tokens: Tokens, rotary: Rotary
    ) -> Float[Tensor, "m distinct d_model"]:
        """The layer's output at all distinct tokens; ``rotary`` has a row for each of them [distinct, 1, rotated]."""
        query, key, value = self.project(self.norm(hidden))
        asked, keys, values = (
            tokens.spread(x).transpose(1, 2) for x in (rotate(query, *rotary), rotate(key, *rotary), value)
        )
        mixed = F.scaled_dot_product_attention(
            asked, keys, values, is_causal=True, scale=self.scaling, enable_gqa=asked.shape[1] != keys.shape[1]
        )
        return self.finish(hidden, tokens.collected(mixed.transpose(1, 2).flatten(2)))


@dataclass(frozen=True)
class LastLayer:
    """A layer as its replay at the last token sees it."""

    norm: Any  # before the attention
    query: Projection
    key: Projection
    value: Projection
    size: int  # of a head
    scaling: float
    finish: Callable[[Tensor, Tensor], Tensor]  # from stream and mixed values at the last token to the layer's output

    @property
    def heads(self) -> int:
        """How many heads ask."""
        return len(self.query[0]) // self.size

    @property
    def has_low_rank_form(self) -> bool:
        """Whether the norm is what the formulas assume: RMSNorm or LayerNorm with a gain."""
        name = type(self.norm).__name__
        return name.endswith(("RMSNorm", "LayerNorm")) and self.norm.weight is not None

    def output(
        self, hidden: Float[Tensor, "m distinct d_model"], tokens: Tokens, rotary: Rotary
    ) -> Float[Tensor, "m pairs d_model"]:
        """The layer's output at each pair's last token; ``rotary`` as for the whole layer."""
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
    """A layer with the submodule names of Llama."""
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
    """The same as the last layer; None where a projection is not a plain linear map (unmerged LoRA)."""
    attention, whole = layer.self_attn, llama_layer(layer)
    query, key, value = (_projection(m) for m in (attention.q_proj, attention.k_proj, attention.v_proj))
    if query is None or key is None or value is None:
        return None
    return LastLayer(whole.norm, query, key, value, attention.head_dim, whole.scaling, whole.finish)


def gpt_neox_layer(layer: Any) -> RotaryLayer:
    """A layer of GPT-NeoX: queries, keys and values of a head side by side in one map; the MLP beside or after."""
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
    """The same as the last layer; None where the projection is not a plain linear map (unmerged LoRA)."""
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
    """All layers after the site: whole ones, then the last at the last token."""

    whole: tuple[RotaryLayer, ...]
    last: LastLayer

    @classmethod
    def of(cls, layout: str, layers: list[nn.Module]) -> RotaryLayers | None:
        """Layers of one layout; None where the last one cannot be computed at the last token alone, or where they lie on
        several devices: then the layers themselves know how to pass a tensor on.
        """
        whole, at_last = ROTARY_LAYERS[layout]
        last = at_last(layers[-1])
        if last is None or len({p.device for layer in layers for p in layer.parameters()}) > 1:
            return None
        return cls(tuple(whole(layer) for layer in layers[:-1]), last)

    def output(
        self, hidden: Float[Tensor, "m distinct d_model"], tokens: Tokens, rotary: Rotary
    ) -> Float[Tensor, "m pairs d_model"]:
        """The last layer's output at each pair's last token from the first one's input; tables as the model makes them."""
        cosine, sine = (table[0][tokens.position][:, None] for table in rotary)
        for layer in self.whole:
            hidden = layer.output(hidden, tokens, (cosine, sine))
        return self.last.output(hidden, tokens, (cosine, sine))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding in the half-split layout, of as many dimensions of a head as the tables have."""
    turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat((-second, first), dim=-1) * sin
    if not rest.shape[-1]:
        return turned
    return torch.cat((turned, rest.expand(*turned.shape[:-1], -1)), dim=-1)


def _projection(module: nn.Module) -> Projection | None:
    """Weight and bias of a plain linear map."""
    return (module.weight.detach(), module.bias) if type(module) is nn.Linear else None
