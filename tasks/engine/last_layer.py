"""The low-rank form of a decoder's last layer at the last token, under ablations in the layer before it.

With x_t = g * h_t / r_t the normed input (gain g, root mean square r_t), the last layer needs keys and values of all
tokens, but query, output projection and MLP only of the last token. If the ablated layer is the one before, then
h_t(A) = h_t - sum_{j in A} z_jt w_j. With K0, V0, K_j, V_j the projections of g * h_t and g * w_j, R_t the rotation to
position t, q(A) the rotated query, p_t the softmax of the scaled logits and d the width,

    logit_t(A) = q(A) . R_t [K0_t - sum_j z_jt K_j] / r_t(A)
    value(A)   = sum_t p_t / r_t(A) V0_t - sum_j [sum_t p_t / r_t(A) z_jt] V_j
    d r_t(A)^2 = |h_t|^2 - 2 sum_j z_jt w_j.h_t + sum_{i,j} z_it z_jt w_i.w_j     (+ d eps)

For a LayerNorm, h_t and w_j are centred first. Its shift and the biases of keys and values do not depend on token or mask,
and are added after the division by r_t.

So a mask needs no array of tokens x d_model: the cost is tokens x |A| x width of the keys. On the CPU a fused kernel
computes it (`fused.py`). For large sets `LastLayer.output` on the dense residual stream is cheaper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from coterie.tasks.engine.layout import LANES
from coterie.tasks.engine.rotary_layer import LastLayer, Projection, Rotary, rotate
from coterie.tasks.lens import norm_epsilon

_FUSED_PAYS = 2  # in the fused kernel, sets may be twice as large as in torch (measured on the bundled rerankers)


@final
class LowRankLastLayer:
    """The last layer over B fixed pairs of T tokens, with rows of (z, w) ablated in its input.

    `residual` [B, T, d_model] is the unablated input; `z` [rows, B * T] and `w` [rows, d_model] are what ablation takes from
    it. The object holds keys and values of all tokens.
    """

    def __init__(self, layer: LastLayer, residual: Tensor, last: Tensor, z: Tensor, w: Tensor, rotary: Rotary) -> None:
        self._layer, self._last, self._w, self._is_fused = layer, last, w, _fuses(residual)
        self._pairs, self._tokens, self._width = residual.shape
        self._z = z.view(-1, self._pairs, self._tokens)
        self._at_last = torch.arange(self._pairs, device=last.device), last
        self._hidden = residual[self._at_last]
        norm = layer.norm
        if isinstance(norm, nn.LayerNorm):
            residual, w = residual - residual.mean(-1, keepdim=True), w - w.mean(-1, keepdim=True)
        # positions count from 0 in every row: padding is on the right
        self._cos, self._sin = rotary[0][0], rotary[1][0]
        key, value = layer.key[0] * norm.weight, layer.value[0] * norm.weight
        self._kv_heads = len(key) // layer.size
        split = (self._pairs, self._tokens, self._kv_heads, layer.size)
        keys = rotate((residual @ key.T).view(split), self._cos[:, None], self._sin[:, None])
        self._keys = self._padded(keys.permute(0, 2, 3, 1))  # [B, kv heads, head size, T']
        self._values = self._padded((residual @ value.T).view(split).permute(0, 2, 3, 1))  # same shape
        half = self._cos.shape[1] // 2  # the tables hold the angle of each pair of dimensions twice
        self._angles = (
            [self._padded(table[:, :half].T).numpy() for table in (self._cos, self._sin)] if self._is_fused else []
        )
        self._w_keys = (w @ key.T).view(-1, self._kv_heads, layer.size)
        self._w_values = (w @ value.T).view(-1, self._kv_heads, layer.size)
        self._rotated_shift = residual.new_empty(0, 0, 0)  # [kv heads, head size, T'], or empty
        if (shift := self._shift(layer.key)) is not None:
            rotated = rotate(shift, self._cos[:, None], self._sin[:, None])
            self._rotated_shift = self._padded(rotated.permute(1, 2, 0))
        self._shift_values = self._shift(layer.value)
        self._epsilon = norm_epsilon(norm)
        self._centred, self._residual, self._square = w, residual.flatten(0, 1), self._padded(residual.square().sum(-1))
        self._future = torch.arange(self._tokens, device=last.device)[None] > last[:, None]

    def _padded(self, x: Tensor) -> Tensor:
        """A contiguous copy whose last dimension T is padded with zeros to T', as the kernels need it."""
        return F.pad(x, (0, -x.shape[-1] % LANES if self._is_fused else 0)).contiguous()

    def _shift(self, projection: Projection) -> Tensor | None:
        """What a projection adds to every token [kv heads, head size]; None if nothing."""
        weight, bias = projection
        shift = getattr(self._layer.norm, "bias", None)
        parts = [part for part in (bias, None if shift is None else weight @ shift) if part is not None]
        return torch.stack(parts).sum(0).view(self._kv_heads, -1) if parts else None

    def pays(self, n_rows: int) -> bool:
        """Whether the low-rank form is cheaper than the dense residual stream for a set of this size."""
        return n_rows * self._layer.heads <= (_FUSED_PAYS if self._is_fused else 1) * self._width

    def outputs(self, groups: Sequence[Tensor]) -> Float[Tensor, "m pairs d_model"]:
        """The layer's output [m, B, d_model] at the last token with each group of rows taken from its input."""
        hidden, mixed = self._fused(groups) if self._is_fused else self._plain(groups)
        if self._shift_values is not None:
            mixed.unflatten(2, (self._kv_heads, -1)).add_(self._shift_values[:, None])
        return self._layer.finish(hidden, mixed.flatten(2))

    def _query(self, hidden: Float[Tensor, "m pairs d_model"]) -> Float[Tensor, "m pairs heads size"]:
        layer = self._layer
        query = F.linear(layer.norm(hidden), *layer.query).view(*hidden.shape[:2], -1, layer.size)
        return rotate(query, self._cos[self._last][:, None], self._sin[self._last][:, None])

    def _fused(self, groups: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Residual stream and mixed values at the last token, by the kernels of `fused.py`."""
        from coterie.tasks.engine import fused

        rows = torch.cat(list(groups))
        used, place = rows.unique(return_inverse=True)
        starts = np.cumsum([0, *map(len, groups)])
        items, threads = len(groups) * self._pairs, torch.get_num_threads()
        z, last = self._z.numpy(), self._last.numpy()
        hidden = self._hidden.new_empty(len(groups), *self._hidden.shape)
        fused.in_threads(
            fused.strip, items, threads,
            self._hidden.numpy(), z, self._w.numpy(), rows.numpy(), starts, last, hidden.numpy(),
        )  # fmt: skip
        query, w = self._query(hidden).contiguous(), self._centred[used]
        mixed = torch.empty_like(query)
        fused.in_threads(
            fused.attend, items, threads,
            query.numpy(), self._keys.numpy(), self._values.numpy(), self._rotated_shift.numpy(), z,
            (w @ self._residual.T).view(-1, self._pairs, self._tokens).numpy(), place.numpy(), (w @ w.T).numpy(),
            self._square.numpy(), rows.numpy(), starts, self._w_keys.numpy(), self._w_values.numpy(),
            *self._angles, last,
            self._layer.scaling, self._width, self._epsilon, mixed.numpy(),
        )  # fmt: skip
        return hidden, mixed

    def _plain(self, groups: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Residual stream and mixed values at the last token in torch, for every device and dtype."""
        layer = self._layer
        gathered = [self._z[group] for group in groups]  # [|A|, B, T] each
        hidden = torch.stack(
            [self._hidden - z[:, *self._at_last].T @ self._w[group] for z, group in zip(gathered, groups, strict=True)]
        )
        query = self._query(hidden)
        logits, inverse = self._grouped(query, self._keys.flatten(0, 1)), []
        along = (self._centred[torch.cat(list(groups))] @ self._residual.T).split([len(group) for group in groups])
        for logit, own_query, z, group, cross in zip(logits, query, gathered, groups, along, strict=True):
            logit -= self._lost_logits(own_query, z, group)
            inverse.append(self._inverse_rms(z, group, cross))
        scale = torch.stack(inverse)[:, :, None]
        logits *= scale
        if len(self._rotated_shift):
            by_head = query.unflatten(2, (self._kv_heads, -1))
            logits += torch.einsum("mbghd,gdt->mbght", by_head, self._rotated_shift).flatten(2, 3)
        logits = (logits * layer.scaling).masked_fill_(self._future[:, None], -torch.inf)
        weights = torch.softmax(logits, -1) * scale  # [m, B, heads, T]
        mixed = self._grouped(weights, self._values.flatten(0, 1).transpose(1, 2))
        for out, weight, z, group in zip(mixed, weights, gathered, groups, strict=True):
            out -= self._lost_values(weight, z, group)
        return hidden, mixed

    def _grouped(
        self, left: Float[Tensor, "m pairs heads inner"], right: Float[Tensor, "pairs_heads inner outer"]
    ) -> Float[Tensor, "m pairs heads outer"]:
        """Queries times keys, or weights times values, for all masks in one product.

        `right` is [B * kv heads, inner, outer]; heads that share keys and values are multiplied together.
        """
        m, pairs, heads, inner = left.shape
        shared = left.view(m, pairs, self._kv_heads, heads // self._kv_heads, inner)
        rows = shared.permute(1, 2, 0, 3, 4).reshape(pairs * self._kv_heads, -1, inner)
        product = torch.bmm(rows, right).view(pairs, self._kv_heads, m, heads // self._kv_heads, -1)
        return product.permute(2, 0, 1, 3, 4).reshape(m, pairs, heads, -1)

    def _lost_logits(self, query: Tensor, z: Tensor, group: Tensor) -> Tensor:
        """sum_j z_jt q . R_t K_j for one mask: [B, heads, T] from queries [B, heads, size]."""
        cos, sin = self._cos[:, None, None], self._sin[:, None, None]
        rotated = rotate(self._w_keys[group], cos, sin)  # [T, |A|, kv heads, size]
        by_token = z.permute(1, 2, 0)[:, None]  # [B, 1, T, |A|]
        lost = []
        for head, own in enumerate(query.unflatten(1, (self._kv_heads, -1)).unbind(1)):  # [B, sharing heads, size]
            products = own @ rotated[:, :, head].flatten(0, 1).T
            lost.append(products.view(*own.shape[:2], self._tokens, -1).mul_(by_token).sum(-1))
        return torch.cat(lost, 1)

    def _lost_values(self, weights: Tensor, z: Tensor, group: Tensor) -> Tensor:
        """sum_j [sum_t p_t / r_t z_jt] V_j for one mask: [B, heads, size] from weights [B, heads, T]."""
        collected = torch.bmm(weights, z.permute(1, 2, 0)).unflatten(1, (self._kv_heads, -1))
        return torch.einsum("bghj,jgd->bghd", collected, self._w_values[group]).flatten(1, 2)

    def _inverse_rms(self, z: Tensor, group: Tensor, cross: Tensor) -> Tensor:
        """1 / r_t(A) [B, T], given w_j . h_t as `cross` [|A|, B * T]."""
        flat, w = z.flatten(1), self._centred[group]
        lost = ((2 * cross - w @ w.T @ flat) * flat).sum(0).view_as(self._square)
        return torch.rsqrt((self._square - lost).clamp_min(0) / self._width + self._epsilon)


def _fuses(x: Tensor) -> bool:
    """Whether the fused kernels accept such arrays."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
