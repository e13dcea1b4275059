"""Loading weights so that nothing is loaded by half: every tensor that takes part comes from the checkpoint, or it is an error.

Transformers fills what a checkpoint lacks with random numbers and ignores what it has too much; peft ignores adapter tensors
whose names do not match. Both only warn. Here each is an error of one line that names the tensors.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coterie.tasks.architectures import Architecture
from coterie.tasks.checkpoint import adapter_file, model_class, one_line_errors
from coterie.tasks.errors import RerankerError
from coterie.tasks.readouts import is_language_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from coterie.tasks.reranker_spec import RerankerSpec

_NAMED = 4  # tensors that an error names


def load_model(spec: RerankerSpec, new_head: bool) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    """The network without its adapter, and what transformers says about its tensors."""
    with quiet_transformers(), one_line_errors(spec.base):
        kind, config = model_class(spec, new_head)
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
    return model, info


def load_tokenizer(spec: RerankerSpec) -> PreTrainedTokenizerBase:
    """The tokenizer of the base."""
    from transformers import AutoTokenizer

    with quiet_transformers(), one_line_errors(spec.base):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            spec.base, revision=spec.revision, trust_remote_code=False
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
            f'{{kind: yes-no, "yes": ..., "no": ...}}'
        )
    missing = [name for name in missing if name not in of_head]
    if missing:
        raise RerankerError(
            f"{spec.base}: expected every tensor of the network in the checkpoint, {len(missing)} are missing and would be "
            f"random: {_names(missing)}"
            + (f"; it has {_names(unexpected)} instead" if unexpected else "")
            + "; fix: the "
            "names in the checkpoint, or its config.json"
        )
    if unexpected:
        raise RerankerError(
            f"{spec.base}: expected the tensors of the network alone, got {len(unexpected)} that it does not use: "
            f"{_names(unexpected)}; fix: config.json (number of layers, model type), or the row of the architecture in "
            f"tasks/architectures.py where they take no part in the score"
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


def merged(model: PreTrainedModel, spec: RerankerSpec, missing: Sequence[str]) -> PreTrainedModel:
    """The model with its adapter merged, after checking that every tensor of the adapter's file is in place.

    ``missing`` are the tensors of the head that the base lacks, which the adapter must bring.
    """
    adapter = str(spec.adapter)
    wanted = _check_config(spec, missing)
    from peft import PeftModel

    with quiet_transformers(), one_line_errors(adapter):
        tuned = PeftModel.from_pretrained(
            model, adapter, revision=spec.adapter_revision, torch_device=str(next(model.parameters()).device)
        )
    if not hasattr(tuned.base_model, "merge_and_unload"):
        raise RerankerError(
            f"{adapter}: expected an adapter that can be merged into the weights (LoRA and its relatives), got "
            f"{wanted.get('peft_type')}; fix: another kind of adapter"
        )
    _check_loaded(tuned, spec, wanted)
    with quiet_transformers(), one_line_errors(adapter):
        whole: PreTrainedModel = tuned.merge_and_unload()
    return whole


def _check_config(spec: RerankerSpec, missing: Sequence[str]) -> dict[str, Any]:
    """The adapter's configuration; refuses a pickle, and a head that is promised, or needed, and not in the file."""
    adapter, revision = str(spec.adapter), spec.adapter_revision
    names = _names_in(adapter_file(adapter, "adapter_model.safetensors", revision), adapter)
    try:
        wanted: dict[str, Any] = json.loads(adapter_file(adapter, "adapter_config.json", revision).read_text("utf8"))
    except ValueError as error:
        raise RerankerError(f"{adapter}: adapter_config.json: expected JSON, got: {error}") from None
    promised = bool(wanted.get("modules_to_save"))
    classifies = not is_language_model(spec.readout)
    if classifies and (missing or promised) and not any(".score." in key or ".classifier." in key for key in names):
        raise RerankerError(
            f"{adapter}: expected the classification head in the adapter, got none: its base's own, or a random one, "
            f"would be used; fix: save the adapter with task type SEQ_CLS and modules_to_save=['score']"
        )
    brought = {_plain(name).removeprefix("base_model.model.") for name in names}
    lacking = [name for name in missing if name not in brought]
    if lacking:
        raise RerankerError(
            f"{adapter}: expected all of the head that {spec.base} lacks, {len(lacking)} tensors are in neither and would be "
            f"random: {_names(lacking)}; fix: save the adapter with these modules in modules_to_save"
        )
    return wanted


def _check_loaded(tuned: Any, spec: RerankerSpec, wanted: Mapping[str, Any]) -> None:
    """Every tensor of the file is where it belongs, none is missing there, and every module that was promised is tuned."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import load_file

    adapter = str(spec.adapter)
    path = adapter_file(adapter, "adapter_model.safetensors", spec.adapter_revision)
    with one_line_errors(adapter):
        file = {_plain(name): tensor for name, tensor in load_file(path).items()}
        loaded = {
            _plain(name): tensor
            for name, tensor in get_peft_model_state_dict(tuned, save_embedding_layers=False).items()
        }
    missing, unused = sorted(loaded.keys() - file.keys()), sorted(file.keys() - loaded.keys())
    if missing or unused:
        found = [f"{len(missing)} are missing: {_names(missing)}"] if missing else []
        found += [f"{len(unused)} belong to nothing: {_names(unused)}"] if unused else []
        raise RerankerError(
            f"{adapter}: expected exactly the tensors that adapter_config.json promises for this base; {'; '.join(found)}; "
            f"fix: the adapter of this base, saved whole"
        )
    for name, tensor in file.items():
        if loaded[name].shape != tensor.shape or not _same(loaded[name], tensor):
            raise RerankerError(
                f"{adapter}: {name}: expected the file's tensor of shape {tuple(tensor.shape)} in the model, got another of "
                f"shape {tuple(loaded[name].shape)}; fix: an adapter of this base"
            )
    targets = wanted.get("target_modules")
    tuned_names = {re.sub(r"\.(lora|ia3|hada|lokr|oft|boft|vera|randlora)_.*$", "", name) for name in loaded}
    for target in targets if isinstance(targets, list) else []:
        if not any(name == target or name.endswith(f".{target}") for name in tuned_names):
            raise RerankerError(
                f"{adapter}: expected modules named {target!r} (target_modules of adapter_config.json) in the base, got "
                f"none; fix: the base that the adapter was made for"
            )


def _same(loaded: Tensor, own: Tensor) -> bool:
    """Whether a tensor is the file's, in the precision that it was loaded in."""
    return bool(torch.equal(loaded.cpu(), own.to(loaded.dtype)))


def _plain(name: str) -> str:
    """A tensor's name without what versions of peft put between: the adapter's name, the wrapper of a saved module."""
    return re.sub(r"\.(modules_to_save(\.default)?|original_module|default)(?=\.|$)", "", name)


def _names_in(path: Path, adapter: str) -> list[str]:
    from safetensors import safe_open

    with one_line_errors(adapter), safe_open(str(path), framework="pt") as weights:
        return list(weights.keys())


def _taking_part(names: Iterable[str], row: Architecture) -> list[str]:
    return sorted(name for name in names if not any(re.search(pattern, name) for pattern in row.unused))


def _names(names: Sequence[str]) -> str:
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
            warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
            yield
    finally:
        transformers_logging.set_verbosity(level)
        transformers_logging.enable_progress_bar()
