"""Load adapters: every tensor of the file is used, every setting is respected, and merging changes no score."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_file, one_line_errors
from coterie.tasks.rerankers.spec import is_language_model
from coterie.tasks.rerankers.weights import names_of, quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from coterie.tasks.rerankers.spec import RerankerSpec

_SAMPLE = "Which neurons work together? <s>[SEP]</s> Query: 1 0 yes no"


def with_adapter(model: PreTrainedModel, spec: RerankerSpec, missing: Sequence[str]) -> Any:
    """The model with its adapter, not merged, after checking that every tensor of the adapter's file is in use.

    `missing` names the tensors of the head that the base lacks; the adapter must bring them.
    """
    adapter = str(spec.adapter)
    wanted = _check_config(spec, missing)
    targets = wanted.get("target_modules")
    for target in targets if isinstance(targets, list) else []:
        if not has_module(model, target):
            raise RerankerError(
                f"{adapter}: expected modules named {target!r} (target_modules of adapter_config.json) in {spec.base}, got "
                f"none; fix: use the base that the adapter was made for"
            )
    from peft import PeftModel

    with quiet_transformers(), one_line_errors(adapter):
        tuned = PeftModel.from_pretrained(
            model, adapter, revision=spec.adapter_revision, torch_device=str(next(model.parameters()).device)
        )
    if not hasattr(tuned.base_model, "merge_and_unload"):
        raise RerankerError(
            f"{adapter}: expected an adapter that can be merged into the weights (LoRA and its relatives), got "
            f"{wanted['peft_type']}; fix: use another kind of adapter"
        )
    _check_loaded(tuned, spec)
    return tuned


def has_module(model: nn.Module, target: str) -> bool:
    """Whether peft finds a module by this name: its whole path, or the end of one."""
    names = (name for name, _ in model.named_modules())
    return bool(target) and any(name == target or name.endswith(f".{target}") for name in names)


def merged(tuned: Any, spec: RerankerSpec) -> PreTrainedModel:
    """The model with its adapter merged into its weights."""
    with quiet_transformers(), one_line_errors(str(spec.adapter)):
        whole: PreTrainedModel = tuned.merge_and_unload()
    return whole


def check_tokenizer(spec: RerankerSpec, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise `RerankerError` if an adapter comes with a tokenizer that differs from the base's."""
    folder = Path(str(spec.adapter))
    if not folder.is_dir() or not any(
        (folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")
    ):
        return
    from transformers import AutoTokenizer

    with quiet_transformers(), one_line_errors(str(folder)):
        own = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    if own.get_vocab() != tokenizer.get_vocab() or own(_SAMPLE)["input_ids"] != tokenizer(_SAMPLE)["input_ids"]:
        raise RerankerError(
            f"{folder}: expected the tokenizer of {spec.base}, got a different one with the adapter, which would be ignored; "
            f"fix: save base and adapter merged, with that tokenizer, or remove its files if they are not the adapter's"
        )


def _check_config(spec: RerankerSpec, missing: Sequence[str]) -> dict[str, Any]:
    """The adapter's configuration. Refuses pickles, unknown kinds and settings, and a required head that is not in the file."""
    adapter, revision = str(spec.adapter), spec.adapter_revision
    names = tensor_names(spec)
    try:
        wanted: Any = json.loads(adapter_file(adapter, ADAPTER_CONFIG, revision).read_text("utf8"))
    except ValueError as error:
        raise RerankerError(
            f"{adapter}: adapter_config.json: expected JSON, got: {error}; fix: repair that file"
        ) from None
    _check_kind(wanted, adapter)
    promised = bool(wanted.get("modules_to_save"))
    classifies = not is_language_model(spec.readout)
    if classifies and (missing or promised) and not any(".score." in key or ".classifier." in key for key in names):
        raise RerankerError(
            f"{adapter}: expected the classification head in the adapter, got none: the base's head, or a random one, "
            f"would be used; fix: save the adapter with task type SEQ_CLS and modules_to_save=['score']"
        )
    brought = {_plain(name).removeprefix("base_model.model.") for name in names}
    lacking = [name for name in missing if name not in brought]
    if lacking:
        raise RerankerError(
            f"{adapter}: expected all tensors of the head that {spec.base} lacks, but {len(lacking)} are in neither and would "
            f"be random: {names_of(lacking)}; fix: save the adapter with these modules in modules_to_save"
        )
    return dict(wanted)


def _check_kind(wanted: Any, adapter: str) -> None:
    """Raise `RerankerError` for a kind of adapter, or a setting of it, that the installed peft does not know."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kind = wanted.get("peft_type") if isinstance(wanted, dict) else None
    kinds = {str(getattr(known, "value", known)): made for known, made in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    if kind not in kinds:
        raise RerankerError(
            f"{adapter}: adapter_config.json: peft_type: expected a kind that the installed peft knows, got {kind!r}; fix: "
            f"correct that file, or install a newer peft"
        )
    fields = set(kinds[kind].__dataclass_fields__)
    unknown = [name for name, value in wanted.items() if name not in fields and value]
    if unknown:
        raise RerankerError(
            f"{adapter}: adapter_config.json: expected settings that the installed peft knows, got {names_of(sorted(unknown))}, "
            f"which it would ignore; fix: install a newer peft"
        )


def tensor_names(spec: RerankerSpec) -> list[str]:
    """The names of the tensors in the adapter's file. Raises `RerankerError` if it has none."""
    from safetensors import safe_open

    adapter = str(spec.adapter)
    path = adapter_file(adapter, ADAPTER_WEIGHTS, spec.adapter_revision)
    with one_line_errors(adapter), safe_open(str(path), framework="pt") as weights:
        names = list(weights.keys())
    if not names:
        raise RerankerError(f"{adapter}: expected tensors in {path.name}, got none; fix: save the adapter again")
    return names


def _check_loaded(tuned: Any, spec: RerankerSpec) -> None:
    """Check that every tensor of the file is in the model, unchanged, and that the model needs no others."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import load_file

    adapter = str(spec.adapter)
    path = adapter_file(adapter, ADAPTER_WEIGHTS, spec.adapter_revision)
    with one_line_errors(adapter):
        file = {_plain(name): tensor for name, tensor in load_file(path).items()}
        state = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    loaded = {_plain(name): tensor for name, tensor in state.items()}
    everything = {_plain(name): tensor for name, tensor in tuned.state_dict().items()}
    missing = sorted(loaded.keys() - file.keys())
    unused = sorted(name for name in file.keys() - loaded.keys() if name not in everything)
    if missing or unused:
        found = [f"{len(missing)} are missing: {names_of(missing)}"] if missing else []
        found += [f"{len(unused)} are unused: {names_of(unused)}"] if unused else []
        raise RerankerError(
            f"{adapter}: expected exactly the tensors that adapter_config.json promises for this base; {'; '.join(found)}; "
            f"fix: use the complete adapter of this base"
        )
    for name, tensor in file.items():
        own = loaded.get(name, everything.get(name, tensor))
        if own.shape != tensor.shape or not _same(own, tensor):
            raise RerankerError(
                f"{adapter}: {name}: expected the file's tensor of shape {tuple(tensor.shape)} in the model, got another of "
                f"shape {tuple(own.shape)}; fix: use an adapter of this base"
            )


def _same(loaded: Tensor, own: Tensor) -> bool:
    """Whether a loaded tensor equals the file's, in the precision in which it was loaded."""
    return bool(torch.equal(loaded.cpu(), own.to(loaded.dtype)))


def _plain(name: str) -> str:
    """A tensor's name without the adapter's name and the wrappers of saved modules, which differ between peft versions."""
    return re.sub(r"\.(modules_to_save(\.default)?|original_module|default)(?=\.|$)", "", name)
