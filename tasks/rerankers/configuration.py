"""What a checkpoint's `config.json` says: the class that loads it, and how many tokens it has positions for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.checkpoint import one_line_errors
from coterie.tasks.rerankers.readouts import check_labels
from coterie.tasks.rerankers.spec import RerankerSpec, is_language_model

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def model_class(spec: RerankerSpec, new_head: bool = False) -> tuple[Any, PreTrainedConfig]:
    """The transformers class that loads a reranker with this readout, and the checkpoint's configuration for it.

    `new_head` allows a base without a head. Raises `RerankerError` if the readout does not suit the checkpoint.
    """
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
    )

    config = model_config(spec)
    saved_as = [str(name) for name in config.architectures or []]
    classifies = any("ForSequenceClassification" in name for name in saved_as)
    if is_language_model(spec.readout):
        if classifies:
            raise RerankerError(
                f"{spec.base}: expected a language model for readout yes-no, got {saved_as[0]}; fix: reranker.readout: "
                f"{{kind: logit}}, or labels"
            )
        if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
            raise RerankerError(
                f"{spec.base}: config.json: decoder_start_token_id: expected the token that the decoder starts with, got none; "
                f"fix: 0 for T5"
            )
        return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM, config
    if not classifies:  # a base without a head, which the adapter brings
        if spec.readout.kind == "logit":
            config.num_labels = 1
        generates = any("ForCausalLM" in name or "ForConditionalGeneration" in name for name in saved_as)
        if spec.adapter is None and not new_head and generates:
            raise RerankerError(
                f"{spec.base}: expected a classification head in the checkpoint, got a language model ({saved_as[0]}); fix: "
                f"reranker.readout: {{kind: yes-no, yes: ..., no: ...}}, or an adapter that brings its head"
            )
    check_labels(spec.readout, config, spec.base)
    return AutoModelForSequenceClassification, config


def model_config(spec: RerankerSpec) -> PreTrainedConfig:
    """The base's configuration, unchanged."""
    from transformers import AutoConfig

    with one_line_errors(spec.base):
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            spec.base, revision=spec.revision, trust_remote_code=False
        )
    return config


def concrete_class(spec: RerankerSpec) -> type:
    """The model class of transformers that a reranker is loaded as, such as `BertForSequenceClassification`."""
    with one_line_errors(spec.base):
        kind, config = model_class(spec)
    found = kind._model_mapping[type(config)]
    chosen: type = found[0] if isinstance(found, tuple) else found
    return chosen


def most_tokens(config: PreTrainedConfig) -> int | None:
    """The number of tokens that a network has positions for; None if positions are relative and any number works."""
    most: int | None = getattr(config, "max_position_embeddings", None)
    if config.model_type == "t5" or not getattr(config, "position_biased_input", True):
        return None
    if most is not None and config.model_type in ("roberta", "xlm-roberta"):  # positions start after the padding's
        return most - (1 if config.pad_token_id is None else int(config.pad_token_id)) - 1
    rope: Any = getattr(config, "rope_parameters", None) or {}
    if most is not None and rope.get("rope_type") == "longrope":
        # beyond this length the longest pair of a batch changes the rotary factors of all others
        return min(most, int(rope.get("original_max_position_embeddings", most)))
    return most


def check_length(spec: RerankerSpec, config: PreTrainedConfig) -> None:
    """Raise `RerankerError` if the template allows more tokens than the network has positions for."""
    most = most_tokens(config)
    if most is not None and spec.template.max_length > most:
        raise RerankerError(
            f"{spec.base}: reranker.template.max_length: expected at most {most}, the positions of this model, got "
            f"{spec.template.max_length}; fix: max_length: {most}"
        )
