"""The logit lens: final norm and head on the last token's residual stream after the layer, in closed form.

    s(A) = w . h(A) / sqrt(mean(h(A)^2) + eps),        h(A) = h - sum_{j in A} sum_p taken[p, j] writes[p, j]

with w the head times the norm's gain. Whoever has these five values knows the lens readout of every set of ablated
players without another pass through the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Lens:
    """What the lens readout is made of. ``parts`` is 1, or 2 where an ablated neuron is replaced by its base self."""

    residual: Float[Tensor, "outputs d_model"]
    taken: Float[Tensor, "parts outputs players"]  # what an ablated player takes away of its write vectors
    writes: Float[Tensor, "parts players d_model"]
    head: Float[Tensor, " d_model"]  # the gain of the norm is in it
    epsilon: float

    def scores(self, mask: Bool[Tensor, " players"]) -> Float[Tensor, " outputs"]:
        """The lens readout with one set ablated: the obvious way, for checks."""
        lost = sum(t[:, mask] @ w[mask] for t, w in zip(self.taken, self.writes, strict=True))
        hidden = self.residual - lost
        scores: Tensor = hidden @ self.head * torch.rsqrt(hidden.square().mean(-1) + self.epsilon)
        return scores


def has_lens(norm: nn.Module, head: nn.Module) -> bool:
    """Whether the form above is what this norm and head compute: an RMSNorm with a gain a dimension, and no bias."""
    gain = getattr(norm, "weight", None)
    plain = isinstance(gain, Tensor) and gain.ndim == 1 and getattr(norm, "bias", None) is None
    return plain and type(norm).__name__.endswith(("RMSNorm", "T5LayerNorm")) and getattr(head, "bias", None) is None


def folded(norm: nn.Module, head: Any) -> tuple[Float[Tensor, " d_model"], float]:
    """The head with the norm's gain in it, and the norm's epsilon."""
    weight, gain = head.weight.detach(), norm.get_parameter("weight").detach()
    epsilon = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon  # torch's name, and transformers'
    if type(norm).__name__.startswith("Gemma"):
        gain = gain + 1  # Gemma keeps what the gain is above one
    return weight[0] * gain, float(epsilon)  # type: ignore[arg-type]
