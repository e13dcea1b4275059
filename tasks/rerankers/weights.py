"""Load weights completely: every tensor that affects the score comes from the checkpoint, or loading fails.

Transformers fills missing tensors with random numbers and ignores superfluous ones; peft ignores adapter tensors whose
names do not match. Both only warn. This module raises a one-line error that names the tensors.
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

from coterie.tasks.errors import RerankerError, one_line
from coterie.tasks.rerankers.architectures import Architecture
from coterie.tasks.rerankers.checkpoint import one_line_errors
from coterie.tasks.rerankers.configuration import model_class, model_config
from coterie.tasks.rerankers.spec import is_language_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from coterie.tasks.rerankers.spec import RerankerSpec

_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.spm", "*.tiktoken")
_MOST_NAMED = 4  # tensors that an error names


def load_model(spec: RerankerSpec, new_head: bool) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    """The network without its adapter, and transformers' report on its tensors for `check_tensors`."""
    with quiet_transformers(), one_line_errors(spec.base):
        kind, config = model_class(spec, new_head)
        config.use_cache = False
        config.chunk_size_feed_forward = 0  # same numbers, but any number of tokens instead of multiples of the chunk
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
            ignore_mismatched_sizes=True,  # check_tensors reports them with names and shapes
        )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise RerankerError(
            f"{spec.base}: expected a base without an adapter, got one with an adapter in its folder, which transformers would "
            f"silently apply; fix: name that folder as reranker.adapter and the model that it was made for as reranker.base"
        )
    return model, info


def load_tokenizer(spec: RerankerSpec) -> PreTrainedTokenizerBase:
    """The tokenizer of the base. Raises `RerankerError` if its vocabulary is missing or not the model's."""
    from transformers import AutoTokenizer

    folder = Path(spec.base)
    if folder.is_dir() and not any(found for pattern in _VOCABULARIES for found in folder.glob(pattern)):
        raise RerankerError(
            f"{spec.base}: expected a tokenizer ({', '.join(_VOCABULARIES)}), got none: every word would be unknown; "
            f"fix: save the tokenizer next to the model"
        )
    with quiet_transformers(), one_line_errors(spec.base):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            spec.base, revision=spec.revision, trust_remote_code=False
        )
    embeddings = int(getattr(model_config(spec), "vocab_size", 0))
    if len(tokenizer) < embeddings // 2:
        raise RerankerError(
            f"{spec.base}: expected a vocabulary of about {embeddings} tokens, as in config.json, got {len(tokenizer)}; fix: use "
            f"the tokenizer of this model, with all its files"
        )
    return tokenizer


def check_tensors(info: Mapping[str, Any], row: Architecture, spec: RerankerSpec, new_head: bool) -> list[str]:
    """Check transformers' report, and return the names of the head's tensors that the base lacks.

    A head may be missing if `new_head` allows a random one or if an adapter brings its own. Raises `RerankerError` for any
    other tensor that affects the score and is missing, superfluous or of another shape.
    """
    missing = _affecting_score(info["missing_keys"], row)
    head_modules = () if is_language_model(spec.readout) else tuple(f"{module}." for module in row.head_modules)
    of_head = [name for name in missing if name.startswith(head_modules)]
    if of_head and not new_head and spec.adapter is None:
        raise RerankerError(
            f"{spec.base}: expected a classification head ({row.head}) in the checkpoint, got none: a random one would be "
            f"used; fix: a sequence classifier, an adapter that brings its head, or for a language model reranker.readout: "
            f"{{kind: yes-no, yes: ..., no: ...}}"
        )
    missing = [name for name in missing if name not in of_head]
    _check_names(missing, _affecting_score(info["unexpected_keys"], row), spec)
    mismatched = [entry for entry in info["mismatched_keys"] if entry[0] not in of_head]
    if mismatched:
        name, found, wanted = next(iter(mismatched))
        raise RerankerError(
            f"{spec.base}: {name}: expected a tensor of shape {tuple(wanted)} as in config.json, got {tuple(found)} in the "
            f"checkpoint; fix: correct config.json"
        )
    if info.get("error_msgs"):
        raise RerankerError(f"{spec.base}: some tensors do not load: {one_line(info['error_msgs'], 300)}")
    return of_head


def _check_names(missing: Sequence[str], unexpected: Sequence[str], spec: RerankerSpec) -> None:
    if missing:
        instead = f"; it has {names_of(unexpected)} instead" if unexpected else ""
        raise RerankerError(
            f"{spec.base}: expected every tensor of the network in the checkpoint, but {len(missing)} are missing and would be "
            f"random: {names_of(missing)}{instead}; fix: correct the names in the checkpoint, or its config.json"
        )
    if unexpected:
        raise RerankerError(
            f"{spec.base}: expected only the network's own tensors, got {len(unexpected)} that it does not use: "
            f"{names_of(unexpected)}; fix: correct config.json (number of layers, model type), or, if they do not affect the "
            f"score, the row of the architecture in tasks/rerankers/architectures.py"
        )


def check_finite(model: PreTrainedModel, spec: RerankerSpec) -> None:
    """Raise `RerankerError` naming the first tensor with NaN or infinity."""
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            where = spec.base if spec.adapter is None else f"{spec.base} with {spec.adapter}"
            raise RerankerError(
                f"{where}: expected finite weights, got NaN or infinity in {name} (as {spec.dtype}); fix: use another "
                f"checkpoint, or a dtype with a larger range"
            )


def _affecting_score(names: Iterable[str], row: Architecture) -> list[str]:
    return sorted(name for name in names if not any(re.search(pattern, name) for pattern in row.unused))


def names_of(names: Sequence[str]) -> str:
    """The first few of many tensor names, and the number of the others."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress progress bars, and warnings about tensors that this package reports as errors."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft looks up a deprecated attribute of every model; users cannot change that
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            warnings.simplefilter("ignore", UserWarning)  # peft: tensors, shared weights, unknown settings
            yield
    finally:
        transformers_logging.set_verbosity(level)
        transformers_logging.enable_progress_bar()
