"""The logit lens: final norm and head on the last token's residual stream after the layer, in closed form.

    s(A) = w . h(A) / sqrt(mean(h(A)^2) + eps),        h(A) = h - sum_{j in A} sum_p taken[p, j] writes[p, j]

with w the head times the norm's gain. These five values determine the lens readout of every set of ablated players without
another pass through the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Lens:
    """The terms of the lens readout: one part, or two if ablation restores the neuron from before LoRA."""

    residual: Float[Tensor, "outputs d_model"]
    """The last token's residual stream after the layer, with nothing ablated."""

    taken: Float[Tensor, "parts outputs players"]
    """How much of its write vectors an ablated player takes away."""

    writes: Float[Tensor, "parts players d_model"]
    """The write vectors."""

    head: Float[Tensor, " d_model"]
    """The head times the norm's gain."""

    epsilon: float
    """The norm's epsilon."""

    def scores(self, mask: Bool[Tensor, " players"]) -> Float[Tensor, " outputs"]:
        """The lens readout with one set ablated, computed directly, for checks."""
        lost = sum(t[:, mask] @ w[mask] for t, w in zip(self.taken, self.writes, strict=True))
        hidden = self.residual - lost
        scores: Tensor = hidden @ self.head * torch.rsqrt(hidden.square().mean(-1) + self.epsilon)
        return scores


def has_lens(norm: nn.Module, head: nn.Module) -> bool:
    """Whether this norm and head have the form above: an RMSNorm with one gain per dimension, and no bias."""
    gain = getattr(norm, "weight", None)
    plain = isinstance(gain, Tensor) and gain.ndim == 1 and getattr(norm, "bias", None) is None
    return plain and type(norm).__name__.endswith(("RMSNorm", "T5LayerNorm")) and getattr(head, "bias", None) is None


def fold_gain(norm: nn.Module, head: Any) -> tuple[Float[Tensor, " d_model"], float]:
    """The head times the norm's gain, and the norm's epsilon."""
    weight, gain = head.weight.detach(), norm.get_parameter("weight").detach()
    if type(norm).__name__.startswith("Gemma"):
        gain = gain + 1  # Gemma stores the gain minus one
    return weight[0] * gain, norm_epsilon(norm)


def norm_epsilon(norm: Any) -> float:
    """The epsilon of an RMSNorm or LayerNorm: `eps` in torch, `variance_epsilon` in transformers."""
    return float(norm.eps if hasattr(norm, "eps") else norm.variance_epsilon)
