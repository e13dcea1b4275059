"""The last layer of a decoder at the last token only, and its low-rank form under ablations right before it.

With x_t = g * h_t / r_t the normed input (gain g, root mean square r_t), the last layer needs keys and values of all
tokens, but the query, output projection and MLP of the last token alone. If the ablated layer is the one before, then
h_t(A) = h_t - sum_{j in A} z_jt w_j, and with K0, V0, K_j, V_j the projections of g * h_t and g * w_j,

    logit_t(A) = q(A) . [K0_t - sum_j z_jt R_t K_j] / r_t(A)            (R_t: rotary position t)
    value(A)   = sum_t p_t / r_t(A) V0_t - sum_j [sum_t p_t / r_t(A) z_jt] V_j
    d r_t(A)^2 = |h_t|^2 - 2 sum_j z_jt w_j.h_t + sum_{i,j} z_it z_jt w_i.w_j     (+ d eps)

A LayerNorm is the same for h_t and w_j less their means; its shift and the biases of keys and values are the same for
every token and mask, and are added after the division by r_t.

So no array of tokens x d_model is made for a mask: the cost is tokens x |A| x width of the keys. On the CPU a fused kernel
does it (:mod:`coterie.tasks.engine.fused`). For large sets :meth:`LastLayer.output` on the dense residual stream is cheaper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from coterie.tasks.engine.rotary_layer import LastLayer, Projection, Rotary, rotate
from coterie.tasks.memory import LANES

_FUSED_PAYS = 2  # times as large sets as in torch: measured on the bundled rerankers


@final
class LowRankLastLayer:
    """The last layer over fixed pairs (B of them, T tokens), for ablations of rows of (z, w) in its input.

    ``residual`` [B, T, d_model] is the unablated input, ``z`` [rows, B * T] and ``w`` [rows, d_model] what can be
    taken from it. Holds keys and values of all tokens.
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
        self._values = self._padded((residual @ value.T).view(split).permute(0, 2, 3, 1))  # the same
        half = self._cos.shape[1] // 2  # a table has the angle of each pair of dimensions twice
        self._angles = (
            [self._padded(table[:, :half].T).numpy() for table in (self._cos, self._sin)] if self._is_fused else []
        )
        self._w_keys = (w @ key.T).view(-1, self._kv_heads, layer.size)
        self._w_values = (w @ value.T).view(-1, self._kv_heads, layer.size)
        self._turned_shift = residual.new_empty(0, 0, 0)  # [kv heads, head size, T'] where there is one
        if (shift := self._shift(layer.key)) is not None:
            turned = rotate(shift, self._cos[:, None], self._sin[:, None])
            self._turned_shift = self._padded(turned.permute(1, 2, 0))
        self._shift_values = self._shift(layer.value)
        self._epsilon = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
        self._centred, self._residual, self._square = w, residual.flatten(0, 1), self._padded(residual.square().sum(-1))
        self._future = torch.arange(self._tokens, device=last.device)[None] > last[:, None]

    def _padded(self, x: Tensor) -> Tensor:
        """Contiguous, the last dimension (T) filled up with zeros to T', as the kernels want it."""
        return F.pad(x, (0, -x.shape[-1] % LANES if self._is_fused else 0)).contiguous()

    def _shift(self, projection: Projection) -> Tensor | None:
        """What a projection adds whatever the token is [kv heads, head size]."""
        weight, bias = projection
        shift = getattr(self._layer.norm, "bias", None)
        parts = [part for part in (bias, None if shift is None else weight @ shift) if part is not None]
        return torch.stack(parts).sum(0).view(self._kv_heads, -1) if parts else None

    def pays(self, n_rows: int) -> bool:
        """Whether a set of this many rows is cheaper here than on the dense residual stream."""
        return n_rows * self._layer.heads <= (_FUSED_PAYS if self._is_fused else 1) * self._width

    def outputs(self, groups: Sequence[Tensor]) -> Float[Tensor, "m pairs d_model"]:
        """The layer's output [m, B, d_model] at the last token with each group of rows taken from its input."""
        mixed = self._fused(groups) if self._is_fused else self._plain(groups)
        hidden, attended = mixed
        return self._layer.finish(hidden, attended.flatten(2))

    def _query(self, hidden: Float[Tensor, "m pairs d_model"]) -> Float[Tensor, "m pairs heads size"]:
        layer = self._layer
        query = F.linear(layer.norm(hidden), *layer.query).view(*hidden.shape[:2], -1, layer.size)
        return rotate(query, self._cos[self._last][:, None], self._sin[self._last][:, None])

    def _fused(self, groups: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Residual stream and mixed values at the last token, by the kernels of :mod:`coterie.tasks.engine.fused`."""
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
            query.numpy(), self._keys.numpy(), self._values.numpy(), self._turned_shift.numpy(), z,
            (w @ self._residual.T).view(-1, self._pairs, self._tokens).numpy(), place.numpy(), (w @ w.T).numpy(),
            self._square.numpy(), rows.numpy(), starts, self._w_keys.numpy(), self._w_values.numpy(),
            *self._angles, last,
            self._layer.scaling, self._width, self._epsilon, mixed.numpy(),
        )  # fmt: skip
        if self._shift_values is not None:
            mixed.unflatten(2, (self._kv_heads, -1)).add_(self._shift_values[:, None])
        return hidden, mixed

    def _plain(self, groups: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The same in torch, for every device and dtype."""
        layer = self._layer
        gathered = [self._z[group] for group in groups]  # [|A|, B, T] each
        hidden = torch.stack(
            [self._hidden - z[:, *self._at_last].T @ self._w[group] for z, group in zip(gathered, groups, strict=True)]
        )
        query = self._query(hidden)
        logits, inverse = self._grouped(query, self._keys.flatten(0, 1)), []
        along = (self._centred[torch.cat(list(groups))] @ self._residual.T).split([len(group) for group in groups])
        for logit, one, z, group, cross in zip(logits, query, gathered, groups, along, strict=True):
            logit -= self._lost_logits(one, z, group)
            inverse.append(self._inverse_rms(z, group, cross))
        scale = torch.stack(inverse)[:, :, None]
        logits *= scale
        if len(self._turned_shift):
            by_head = query.unflatten(2, (self._kv_heads, -1))
            logits += torch.einsum("mbghd,gdt->mbght", by_head, self._turned_shift).flatten(2, 3)
        logits = (logits * layer.scaling).masked_fill_(self._future[:, None], -torch.inf)
        weights = torch.softmax(logits, -1) * scale  # [m, B, heads, T]
        mixed = self._grouped(weights, self._values.flatten(0, 1).transpose(1, 2))
        for out, weight, z, group in zip(mixed, weights, gathered, groups, strict=True):
            out -= self._lost_values(weight, z, group)
        if self._shift_values is not None:
            mixed.unflatten(2, (self._kv_heads, -1)).add_(self._shift_values[:, None])
        return hidden, mixed

    def _grouped(
        self, left: Float[Tensor, "m pairs heads inner"], right: Float[Tensor, "pairs_heads inner outer"]
    ) -> Float[Tensor, "m pairs heads outer"]:
        """Queries times keys, or weights times values, of all masks at once: [m, B, heads, inner] to [m, B, heads, outer].

        ``right`` is [B * kv heads, inner, outer]; heads that share keys and values go together.
        """
        m, pairs, heads, inner = left.shape
        shared = left.view(m, pairs, self._kv_heads, heads // self._kv_heads, inner)
        rows = shared.permute(1, 2, 0, 3, 4).reshape(pairs * self._kv_heads, -1, inner)
        product = torch.bmm(rows, right).view(pairs, self._kv_heads, m, heads // self._kv_heads, -1)
        return product.permute(2, 0, 1, 3, 4).reshape(m, pairs, heads, -1)

    def _lost_logits(self, query: Tensor, z: Tensor, group: Tensor) -> Tensor:
        """sum_j z_jt q . R_t K_j for one mask: [B, heads, T] from queries [B, heads, size]."""
        rotated = rotate(
            self._w_keys[group], self._cos[:, None, None], self._sin[:, None, None]
        )  # [T, |A|, kv heads, size]
        by_token = z.permute(1, 2, 0)[:, None]  # [B, 1, T, |A|]
        lost = []
        for head, one in enumerate(query.unflatten(1, (self._kv_heads, -1)).unbind(1)):  # [B, sharing heads, size]
            products = one @ rotated[:, :, head].flatten(0, 1).T
            lost.append(products.view(*one.shape[:2], self._tokens, -1).mul_(by_token).sum(-1))
        return torch.cat(lost, 1)

    def _lost_values(self, weights: Tensor, z: Tensor, group: Tensor) -> Tensor:
        """sum_j [sum_t p_t / r_t z_jt] V_j for one mask: [B, heads, size] from weights [B, heads, T]."""
        collected = torch.bmm(weights, z.permute(1, 2, 0)).unflatten(1, (self._kv_heads, -1))
        return torch.einsum("bghj,jgd->bghd", collected, self._w_values[group]).flatten(1, 2)

    def _inverse_rms(self, z: Tensor, group: Tensor, cross: Tensor) -> Tensor:
        """1 / r_t(A) [B, T], given w_j . h_t as ``cross`` [|A|, B T]."""
        flat, w = z.flatten(1), self._centred[group]
        lost = ((2 * cross - w @ w.T @ flat) * flat).sum(0).view_as(self._square)
        return torch.rsqrt((self._square - lost).clamp_min(0) / self._width + self._epsilon)


def _fuses(x: Tensor) -> bool:
    """Whether the fused kernels take such arrays."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
