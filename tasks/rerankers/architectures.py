"""Where each architecture keeps the neurons of its MLPs: one row per family. A new family needs only a row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

from torch import nn

from coterie.tasks.config.text import nearest
from coterie.tasks.errors import UnknownArchitectureError
from coterie.tasks.rerankers.spec import LogitReadout, ScoreReadout, is_language_model

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

Pooled = Literal["last", "first", "mean", "decoder"]


@dataclass(frozen=True)
class Architecture:
    """Module paths of one family of rerankers: `layers` and `after` from the model, all others from a layer."""

    layers: str = "model.layers"
    """The list of transformer layers."""

    after: tuple[str, ...] = ("model.norm", "score")
    """From the last layer's output at the pooled token to the logits: final norm if there is one, ..., linear head. A name
    with a colon is a function (`:tanh`)."""

    lm_head: str | None = "lm_head"
    """The head of the same network as a language model."""

    mlp: tuple[str, ...] = ("mlp",)
    """From the MLP's input to the activations, in order."""

    read: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj")
    """Projections of the MLP's input. A neuron's read vectors are its rows of them; a fused matrix holds gate and up."""

    down: str = "mlp.down_proj"
    """Down projection: its inputs are the neurons' activations, and its columns are their write vectors."""

    branch_norm: str | None = None
    """Norm after `down` that is applied to the MLP's output only."""

    sum_norm: str | None = None
    """Norm after `down` that is applied to the sum of the MLP's output and the residual stream."""

    experts: str | None = None
    """Module with the fused weights of all experts, in a mixture."""

    pooled: Pooled = "last"
    """What the head reads: the last token, the first, the mean over tokens of the normed stream, or a decoder's first step."""

    causal: bool = True
    """Whether a token sees only those before it, so that padding after it needs no mask."""

    decoder: Architecture | None = None
    """Row of the decoder's layers, which are numbered after the encoder's."""

    rotary: Literal["llama", "gpt_neox"] | None = None
    """Layout of norm, rotary attention and MLP if `tasks/engine/rotary_layer.py` knows it: then only distinct tokens are
    replayed, and in the last layer only the last one."""

    unused: tuple[str, ...] = (r"^lm_head\.",)
    """Patterns of tensors that do not affect any score, so that a checkpoint may have or lack them: other heads, buffers."""

    @property
    def head(self) -> str:
        """The classifier itself."""
        return self.after[-1]

    @property
    def head_modules(self) -> tuple[str, ...]:
        """The modules that a base without a head lacks: everything in `after` outside the network itself."""
        network = self.layers.partition(".")[0]
        parts = [path.partition(".")[0] for path in self.after if not path.startswith(":")]
        return tuple(dict.fromkeys(part for part in parts if part != network))


_BERT = Architecture(
    layers="bert.encoder.layer",
    after=("bert.pooler.dense", "bert.pooler.activation", "classifier"),
    lm_head=None,
    mlp=("intermediate",),
    read=("intermediate.dense",),
    down="output.dense",
    sum_norm="output.LayerNorm",
    pooled="first",
    unused=(r"^cls\.", r"\.position_ids$"),
)
_ROBERTA = replace(
    _BERT,
    layers="roberta.encoder.layer",
    after=("classifier.dense", ":tanh", "classifier.out_proj"),
    unused=(r"^lm_head\.", r"^roberta\.pooler\.", r"\.position_ids$"),
)
_T5_DECODER = Architecture(
    layers="decoder.block",
    after=("decoder.final_layer_norm", "lm_head"),
    mlp=("layer.2.DenseReluDense",),
    read=("layer.2.DenseReluDense.wi",),
    down="layer.2.DenseReluDense.wo",
    pooled="first",  # the first step has a single token
)

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
        unused=(r"^(lm_head|embed_out)\.", r"\.attention\.(masked_bias|bias)$", r"\.rotary_emb\.inv_freq$"),
    ),
    "gpt2": Architecture(
        layers="transformer.h",
        after=("transformer.ln_f", "score"),
        read=("mlp.c_fc",),
        down="mlp.c_proj",
        unused=(r"^lm_head\.", r"\.attn\.(masked_bias|bias)$"),
    ),
    "opt": Architecture(
        layers="model.decoder.layers",
        after=("model.decoder.final_layer_norm", "model.decoder.project_out", "score"),
        mlp=("fc1", "activation_fn"),
        read=("fc1",),
        down="fc2",
    ),
    "bert": _BERT,
    "electra": replace(
        _BERT,
        layers="electra.encoder.layer",
        after=("classifier.dense", "classifier.activation", "classifier.out_proj"),
        unused=(r"^discriminator_predictions\.", r"^generator_", r"\.position_ids$"),
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "distilbert": Architecture(
        layers="distilbert.transformer.layer",
        after=("pre_classifier", ":relu", "classifier"),
        lm_head=None,
        mlp=("ffn",),
        read=("ffn.lin1",),
        down="ffn.lin2",
        sum_norm="output_layer_norm",
        pooled="first",
        unused=(r"^vocab_(transform|layer_norm|projector)\.", r"\.position_ids$"),
    ),
    "deberta-v2": replace(
        _BERT,
        layers="deberta.encoder.layer",
        after=("pooler.dense", ":pooler_hidden_act", "classifier"),
        unused=(r"^lm_predictions\.", r"^mask_predictions\.", r"^cls\.", r"\.position_ids$"),
    ),
    "modernbert": Architecture(
        after=("model.final_norm", "head", "classifier"),
        lm_head=None,
        read=("mlp.Wi",),
        down="mlp.Wo",
        pooled="first",
        unused=(r"^decoder\.",),
    ),
    "t5": replace(
        _T5_DECODER,
        layers="encoder.block",
        mlp=("layer.1.DenseReluDense",),
        read=("layer.1.DenseReluDense.wi",),
        down="layer.1.DenseReluDense.wo",
        pooled="decoder",
        decoder=_T5_DECODER,
        unused=(r"^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$",),
    ),
}


def architecture_for(config: PreTrainedConfig, readout: ScoreReadout) -> Architecture:
    """The row for a configuration and a readout. Raises `UnknownArchitectureError`."""
    model_type = str(config.model_type)
    if model_type not in ARCHITECTURES:
        near = nearest(model_type, ARCHITECTURES, most=2)
        raise UnknownArchitectureError(
            f"model type {model_type!r}: expected one of {sorted(ARCHITECTURES)}"
            + (f" (did you mean {' or '.join(near)}?)" if near else "")
            + f'; fix: in tasks/rerankers/architectures.py add "{model_type}": Architecture(layers="...", after=("...", "..."), '
            f'mlp=("...",), down="...") with its module paths'
        )
    row = ARCHITECTURES[model_type]
    if is_language_model(readout):
        if row.lm_head is None:
            raise UnknownArchitectureError(
                f"model type {model_type!r}: expected readout logit or labels, got yes-no; fix: reranker.readout: "
                f"{{kind: logit}}"
            )
        unused = tuple(pattern for pattern in row.unused if row.lm_head not in pattern)
        row = replace(row, after=(*row.after[:-1], row.lm_head), unused=(*unused, r"^score\."))
    elif row.decoder is not None:
        raise UnknownArchitectureError(
            f"model type {model_type!r}: expected readout yes-no, got {readout.kind!r}; fix: reranker.readout: "
            f'{{kind: yes-no, yes: "▁true", no: "▁false"}}'
        )
    return _as_configured(row, config)


def _as_configured(row: Architecture, config: PreTrainedConfig) -> Architecture:
    """The row, adjusted to settings in which checkpoints of one family differ."""
    both_ways = getattr(config, "is_causal", True) is False or getattr(config, "use_bidirectional_attention", False)
    if row.pooled == "last" and both_ways:
        row = replace(row, causal=False, rotary=None)
    if getattr(config, "classifier_pooling", "cls") == "mean":  # ModernBERT
        row = replace(row, pooled="mean")
    if not getattr(config, "do_layer_norm_before", True):  # OPT-350m: norms follow attention and MLP
        row = replace(row, sum_norm="final_layer_norm")
    if row.decoder is not None and config.is_gated_act:  # T5 v1.1
        row = replace(_gated(row), decoder=_gated(row.decoder))
    return row


def _gated(row: Architecture) -> Architecture:
    return replace(row, read=(f"{row.mlp[0]}.wi_0", f"{row.mlp[0]}.wi_1"))


def layers_in(model: PreTrainedModel, row: Architecture) -> list[nn.Module]:
    """The transformer layers in the order of computation: a decoder's come after the encoder's."""
    rows = [row] if row.decoder is None else [row, row.decoder]
    return [layer for one in rows for layer in cast("nn.ModuleList", model.get_submodule(one.layers))]


def row_of_layer(model: PreTrainedModel, row: Architecture, layer: int) -> Architecture:
    """The row for one layer, by its number in `layers_in`."""
    own = len(cast("nn.ModuleList", model.get_submodule(row.layers)))
    return row if row.decoder is None or layer < own else row.decoder


def after_layers(model: PreTrainedModel, row: Architecture) -> list[nn.Module]:
    """The modules from the last layer's output to the logits, in order; those that this checkpoint lacks are left out."""
    found = []
    for path in row.after:
        module: Any = _function(path, model.config) if path.startswith(":") else model
        for name in path.split(".") if not path.startswith(":") else ():
            module = getattr(module, name)
        if module is not None:
            found.append(cast("nn.Module", module))
    return found


def _function(name: str, config: PreTrainedConfig) -> nn.Module:
    """An activation by its name, or by the configuration's field that names it."""
    from transformers.activations import ACT2FN

    function: nn.Module = ACT2FN[getattr(config, name[1:], name[1:])]
    return function


def architecture_of(model: PreTrainedModel) -> Architecture:
    """The row of a classifier. Raises `UnknownArchitectureError`, which shows the row to add."""
    return architecture_for(model.config, LogitReadout())


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The transformer layers of a classifier, first to last."""
    return layers_in(model, architecture_of(model))
