"""Loading weights so that nothing is loaded by half: every tensor that takes part comes from the checkpoint, or it is an error.

Transformers fills what a checkpoint lacks with random numbers and ignores what it has too much; peft ignores adapter tensors
whose names do not match. Both only warn. Here each is an error of one line that names the tensors.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.architectures import Architecture
from coterie.tasks.rerankers.checkpoint import model_class, model_config, one_line_errors
from coterie.tasks.rerankers.readouts import is_language_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from coterie.tasks.rerankers.spec import RerankerSpec

_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.spm", "*.tiktoken")
_NAMED = 4  # tensors that an error names


def load_model(spec: RerankerSpec, new_head: bool) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    """The network without its adapter, and what transformers says about its tensors."""
    with quiet_transformers(), one_line_errors(spec.base):
        kind, config = model_class(spec, new_head)
        config.use_cache = False
        config.chunk_size_feed_forward = 0  # the same numbers, and no number of tokens that it must divide
        model, info = kind.from_pretrained(
            spec.base,
            config=config,
            revision=spec.revision,
            dtype=getattr(torch, spec.dtype),
            attn_implementation=spec.attention,
            device_map=spec.device_map,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told by us, with names and sizes
        )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise RerankerError(
            f"{spec.base}: expected a base alone, got one with an adapter in its folder, which transformers would use unasked; "
            f"fix: name that folder as reranker.adapter and the model that it was made for as reranker.base"
        )
    return model, info


def load_tokenizer(spec: RerankerSpec) -> PreTrainedTokenizerBase:
    """The tokenizer of the base. Raises :class:`RerankerError` where its vocabulary is not there."""
    from transformers import AutoTokenizer

    folder = Path(spec.base)
    if folder.is_dir() and not any(found for pattern in _VOCABULARIES for found in folder.glob(pattern)):
        raise RerankerError(
            f"{spec.base}: expected a tokenizer ({', '.join(_VOCABULARIES)}), got none: every word would be unknown; "
            f"fix: save the tokenizer beside the model"
        )
    with quiet_transformers(), one_line_errors(spec.base):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            spec.base, revision=spec.revision, trust_remote_code=False
        )
    table = int(getattr(model_config(spec), "vocab_size", 0))
    if len(tokenizer) < table // 2:
        raise RerankerError(
            f"{spec.base}: expected a vocabulary of about {table} tokens, as config.json says, got {len(tokenizer)}; fix: the "
            f"tokenizer of this model, with all its files"
        )
    return tokenizer


def check_tensors(info: Mapping[str, Any], row: Architecture, spec: RerankerSpec, new_head: bool) -> list[str]:
    """Raise :class:`RerankerError` where a tensor that takes part is not the checkpoint's; the tensors of a missing head.

    A head may be missing where ``new_head`` allows a random one, or where an adapter brings its own.
    """
    missing = _taking_part(info["missing_keys"], row)
    unexpected = _taking_part(info["unexpected_keys"], row)
    own_head = () if is_language_model(spec.readout) else tuple(f"{module}." for module in row.head_modules)
    of_head = [name for name in missing if name.startswith(own_head)] if own_head else []
    if of_head and not new_head and spec.adapter is None:
        raise RerankerError(
            f"{spec.base}: expected a classification head ({row.head}) in the checkpoint, got none: a random one would be "
            f"used; fix: a sequence classifier, an adapter that brings its head, or for a language model reranker.readout: "
            f"{{kind: yes-no, yes: ..., no: ...}}"
        )
    missing = [name for name in missing if name not in of_head]
    if missing:
        raise RerankerError(
            f"{spec.base}: expected every tensor of the network in the checkpoint, {len(missing)} are missing and would be "
            f"random: {names_of(missing)}"
            + (f"; it has {names_of(unexpected)} instead" if unexpected else "")
            + "; fix: the "
            "names in the checkpoint, or its config.json"
        )
    if unexpected:
        raise RerankerError(
            f"{spec.base}: expected the tensors of the network alone, got {len(unexpected)} that it does not use: "
            f"{names_of(unexpected)}; fix: config.json (number of layers, model type), or the row of the architecture in "
            f"tasks/rerankers/architectures.py where they take no part in the score"
        )
    mismatched = [entry for entry in info["mismatched_keys"] if entry[0] not in of_head]
    if mismatched:
        name, found, wanted = next(iter(mismatched))
        raise RerankerError(
            f"{spec.base}: {name}: expected a tensor of shape {tuple(wanted)} as in config.json, got {tuple(found)} in the "
            f"checkpoint; fix: config.json"
        )
    if info.get("error_msgs"):
        raise RerankerError(f"{spec.base}: tensors that do not load: {' '.join(str(info['error_msgs']).split())[:300]}")
    return of_head


def check_finite(model: PreTrainedModel, spec: RerankerSpec) -> None:
    """Raise :class:`RerankerError` for weights that are no finite numbers, naming the first."""
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            where = spec.base if spec.adapter is None else f"{spec.base} with {spec.adapter}"
            raise RerankerError(
                f"{where}: expected finite weights, got NaN or infinity in {name} (as {spec.dtype}); fix: the checkpoint, "
                f"or a dtype with a larger range"
            )


def _taking_part(names: Iterable[str], row: Architecture) -> list[str]:
    return sorted(name for name in names if not any(re.search(pattern, name) for pattern in row.unused))


def names_of(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hold back progress bars, and warnings about tensors: what they say is an error of ours."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # transformers warns of a name that peft looks up on every model; nothing that a user could change
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            warnings.simplefilter(
                "ignore", UserWarning
            )  # peft's: tensors, shared weights, settings that it does not know
            yield
    finally:
        transformers_logging.set_verbosity(level)
        transformers_logging.enable_progress_bar()
