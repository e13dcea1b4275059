"""Where each architecture keeps the neurons of its MLPs: one row a family, and nothing else to write for a new one."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class UnknownArchitectureError(ValueError):
    """A model type without a row in :data:`ARCHITECTURES`."""


@dataclass(frozen=True)
class Architecture:
    """Module paths of a causal sequence classifier: from the model (``layers``, ``norm``, ``head``), from a layer (the rest).

    A neuron's activation is the input of ``down``; its gate and up rows and its down column are its weights.
    ``last_token_replay`` says that a layer is RMSNorm, rotary attention, RMSNorm, MLP with the submodule names of Llama,
    so that in the last layer the engine computes the query and the MLP of the last token only.
    """

    layers: str = "model.layers"
    norm: str = "model.norm"
    head: str = "score"
    mlp: str = "mlp"
    gate: str = "mlp.gate_proj"
    up: str = "mlp.up_proj"
    down: str = "mlp.down_proj"
    activation: str = "mlp.act_fn"
    last_token_replay: bool = True


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(),
    "mistral": Architecture(),
    "qwen2": Architecture(),
}


def architecture_of(model: PreTrainedModel) -> Architecture:
    """The row of a model. Raises :class:`UnknownArchitectureError` that shows the row to add."""
    model_type = str(model.config.model_type)
    if model_type not in ARCHITECTURES:
        near = get_close_matches(model_type, ARCHITECTURES, n=2)
        raise UnknownArchitectureError(
            f"model type {model_type!r}: expected one of {sorted(ARCHITECTURES)}"
            + (f" (did you mean {' or '.join(near)}?)" if near else "")
            + f'; fix: in tasks/architectures.py add "{model_type}": Architecture(layers="...", norm="...", head="...", '
            f'down="...") with its module paths'
        )
    return ARCHITECTURES[model_type]


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The transformer layers, first to last."""
    return list(cast("nn.ModuleList", model.get_submodule(architecture_of(model).layers)))
