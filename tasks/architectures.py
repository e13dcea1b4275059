"""Where each architecture keeps the neurons of its MLPs: one row a family, and nothing else to write for a new one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class UnknownArchitectureError(ValueError):
    """A model type without a row in :data:`ARCHITECTURES`."""


@dataclass(frozen=True)
class Architecture:
    """Module paths of a sequence classifier: from the model (``layers``, ``after``), from a layer (the rest).

    ``after`` leads from the last layer's output at the pooled token to the logit. A neuron's activation is the input of
    ``down``, its write vector a column of it; ``mlp`` leads from the MLP's input to there. ``read`` are the projections of
    that input: a neuron's read vectors are its row of each, or of each half where gate and up are one matrix. Where a norm
    follows ``down``, ``branch_norm`` is one of the MLP's output alone, ``sum_norm`` one of its sum with the residual
    stream. ``experts`` is a mixture's module of fused expert weights. ``rotary`` says whose layout of norm, rotary
    attention and MLP a layer has (:mod:`coterie.tasks.rotary_layer`), so that only distinct tokens are replayed, and in the
    last layer only the last one.
    """

    layers: str = "model.layers"
    after: tuple[str, ...] = ("model.norm", "score")
    mlp: tuple[str, ...] = ("mlp",)
    read: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj")
    down: str = "mlp.down_proj"
    branch_norm: str | None = None
    sum_norm: str | None = None
    experts: str | None = None
    pooled: Literal["last", "first"] = "last"
    rotary: Literal["llama", "gpt_neox"] | None = None

    @property
    def head(self) -> str:
        """The classifier itself."""
        return self.after[-1]


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(rotary="llama"),
    "mistral": Architecture(rotary="llama"),
    "qwen2": Architecture(rotary="llama"),
    "qwen3": Architecture(),
    "phi3": Architecture(read=("mlp.gate_up_proj",)),
    "gemma": Architecture(),
    "gemma2": Architecture(branch_norm="post_feedforward_layernorm"),
    "gemma3_text": Architecture(branch_norm="post_feedforward_layernorm"),
    "mixtral": Architecture(read=(), experts="mlp.experts"),
    "gpt_neox": Architecture(
        layers="gpt_neox.layers",
        after=("gpt_neox.final_layer_norm", "score"),
        read=("mlp.dense_h_to_4h",),
        down="mlp.dense_4h_to_h",
        rotary="gpt_neox",
    ),
    "gpt2": Architecture(
        layers="transformer.h", after=("transformer.ln_f", "score"), read=("mlp.c_fc",), down="mlp.c_proj"
    ),
    "opt": Architecture(
        layers="model.decoder.layers",
        after=("model.decoder.final_layer_norm", "model.decoder.project_out", "score"),
        mlp=("fc1", "activation_fn"),
        read=("fc1",),
        down="fc2",
    ),
    "bert": Architecture(
        layers="bert.encoder.layer",
        after=("bert.pooler.dense", "bert.pooler.activation", "classifier"),
        mlp=("intermediate",),
        read=("intermediate.dense",),
        down="output.dense",
        sum_norm="output.LayerNorm",
        pooled="first",
    ),
    "modernbert": Architecture(
        after=("model.final_norm", "head", "classifier"), read=("mlp.Wi",), down="mlp.Wo", pooled="first"
    ),
}


def architecture_of(model: PreTrainedModel) -> Architecture:
    """The row of a model. Raises :class:`UnknownArchitectureError` that shows the row to add."""
    model_type = str(model.config.model_type)
    if model_type not in ARCHITECTURES:
        near = get_close_matches(model_type, ARCHITECTURES, n=2)
        raise UnknownArchitectureError(
            f"model type {model_type!r}: expected one of {sorted(ARCHITECTURES)}"
            + (f" (did you mean {' or '.join(near)}?)" if near else "")
            + f'; fix: in tasks/architectures.py add "{model_type}": Architecture(layers="...", after=("...", "..."), '
            f'mlp=("...",), down="...") with its module paths'
        )
    row = ARCHITECTURES[model_type]
    if getattr(model.config, "classifier_pooling", "cls") != "cls":
        raise UnknownArchitectureError(
            f"model type {model_type!r} with mean pooling: expected a classifier on the first token; fix: a checkpoint "
            f"with classifier_pooling 'cls'"
        )
    if not getattr(model.config, "do_layer_norm_before", True):  # OPT-350m: the norms stand after attention and MLP
        row = replace(row, sum_norm="final_layer_norm")
    return row


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The transformer layers, first to last."""
    return list(cast("nn.ModuleList", model.get_submodule(architecture_of(model).layers)))


def after_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The modules from the last layer's output to the logit, in order; those that a checkpoint does without are left out."""
    found = []
    for path in architecture_of(model).after:
        module: object = model
        for name in path.split("."):
            module = getattr(module, name)
        if module is not None:
            found.append(cast("nn.Module", module))
    return found
