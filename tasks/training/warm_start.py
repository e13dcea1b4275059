"""A warm start: the weights of another adapter of the same base, all of which must match."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coterie.tasks.errors import RerankerError, TrainingError, one_line
from coterie.tasks.rerankers.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_file, file_sha256
from coterie.tasks.training.spec import TrainingSpec


def warm_start(recipe: TrainingSpec, base: str, fresh: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
    """The weights of `training.init_adapter` and their SHA-256; None if the recipe names none.

    `fresh` holds the weights of the new adapter, whose names and shapes must match. Raises `TrainingError` for an adapter
    with another base, rank, alpha or targets, and for tensors that are missing, superfluous or not finite.
    """
    if recipe.init_adapter is None:
        return None
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    source = recipe.init_adapter
    try:
        config_file, weights_file = (
            adapter_file(source, name, recipe.init_adapter_revision) for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
        )
        config, weights = json.loads(config_file.read_text("utf8")), load_file(weights_file)
    except RerankerError as error:
        raise TrainingError(f"training.init_adapter: {error}") from None
    except (OSError, ValueError, SafetensorError) as error:
        expected = f"expected {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}"
        raise _wrong(source, f"{expected}, got: {one_line(error)}; fix: save the adapter again") from None
    _check_config(source, config, recipe, base, config_file.parent)
    _check_weights(source, weights, fresh)
    return weights, file_sha256(weights_file)


def weights_digest(folder: Path) -> str:
    """SHA-256 of a folder's weight files; empty for a hub id, which has its revision."""
    digest = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    for path in files:
        digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest() if files else ""


def _check_config(source: str, config: Mapping[str, Any], recipe: TrainingSpec, base: str, folder: Path) -> None:
    for what, expected, got in (
        ("peft_type", "LORA", config.get("peft_type")),
        ("r (training.rank)", recipe.rank, config.get("r")),
        ("lora_alpha (training.alpha)", recipe.alpha, config.get("lora_alpha")),
        ("alpha_pattern", {}, config.get("alpha_pattern") or {}),
        ("use_rslora", False, bool(config.get("use_rslora"))),
    ):
        if expected != got:
            raise _wrong(source, f"{what}: expected {expected}, as in this task, got {got}; fix: make both the same")
    named = str(config.get("base_model_name_or_path"))
    theirs = next((p for p in (folder / named, Path(named)) if p.is_dir()), None)
    if named != base if theirs is None else not _same_folder(theirs, Path(base)):
        raise _wrong(source, f"expected an adapter of the base {base}, got one of {named}; fix: reranker.base: {named}")


def _same_folder(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or weights_digest(one) == weights_digest(other) != ""


def _check_weights(source: str, weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> None:
    for what, names in (("missing", fresh.keys() - weights.keys()), ("superfluous", weights.keys() - fresh.keys())):
        if names:
            raise _wrong(
                source,
                f"expected exactly the {len(fresh)} tensors that this task trains, got {len(names)} {what}, first "
                f"{min(names)}; fix: use the adapter's targets in training.targets",
            )
    for name, tensor in weights.items():
        if tensor.shape != fresh[name].shape:
            shapes = list(fresh[name].shape), list(tensor.shape)
            raise _wrong(
                source, f"{name}: expected shape {shapes[0]}, got {shapes[1]}; fix: use an adapter of this base"
            )
        if not torch.isfinite(tensor).all():
            raise _wrong(source, f"{name}: expected finite values, got NaN or infinity; fix: use another adapter")


def _wrong(source: str, problem: str) -> TrainingError:
    return TrainingError(f"training.init_adapter: {source}: {problem}")
