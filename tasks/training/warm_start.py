"""A warm start: the weights of another adapter of the same base, checked so that nothing is left out without a word."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coterie.tasks.errors import RerankerError, TrainingError
from coterie.tasks.rerankers.checkpoint import adapter_file
from coterie.tasks.training.spec import TrainingSpec

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def warm_start(recipe: TrainingSpec, base: str, fresh: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str] | None:
    """The weights of ``training.init_adapter`` and their SHA-256; None where the training starts afresh.

    ``fresh`` are the weights of the new adapter, whose names and shapes are those expected. Raises :class:`TrainingError`
    for an adapter of another base, rank, alpha or targets, and for tensors that are missing, left over or not finite.
    """
    if recipe.init_adapter is None:
        return None
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    source = recipe.init_adapter
    try:
        config_file, weights_file = (
            adapter_file(source, name, recipe.init_adapter_revision) for name in (CONFIG, WEIGHTS)
        )
        config, weights = json.loads(config_file.read_text("utf8")), load_file(weights_file)
    except RerankerError as error:
        raise TrainingError(f"training.init_adapter: {error}") from None
    except (OSError, ValueError, SafetensorError) as error:
        got = " ".join(str(error).split())[:200]
        raise _wrong(source, f"expected {CONFIG} and {WEIGHTS}, got: {got}; fix: save the adapter again") from None
    _check_config(source, config, recipe, base, config_file.parent)
    _check_weights(source, weights, fresh)
    with weights_file.open("rb") as file:
        return weights, hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(folder: Path) -> str:
    """SHA-256 of a folder's weight files; empty where it is no folder (a hub id has its revision)."""
    digest = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
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
            raise _wrong(
                source, f"{what}: expected {expected}, as in this training, got {got}; fix: make them the same"
            )
    named = str(config.get("base_model_name_or_path"))
    theirs = next((p for p in (folder / named, Path(named)) if p.is_dir()), None)
    if named != base if theirs is None else not _same_folder(theirs, Path(base)):
        raise _wrong(source, f"expected an adapter of the base {base}, got one of {named}; fix: reranker.base: {named}")


def _same_folder(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or weights_digest(one) == weights_digest(other) != ""


def _check_weights(source: str, weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> None:
    for what, names in (("missing", fresh.keys() - weights.keys()), ("left over", weights.keys() - fresh.keys())):
        if names:
            raise _wrong(
                source,
                f"expected exactly the {len(fresh)} tensors that this training tunes, got {len(names)} {what}, first "
                f"{min(names)}; fix: training.targets as the adapter has them",
            )
    for name, tensor in weights.items():
        if tensor.shape != fresh[name].shape:
            shapes = list(fresh[name].shape), list(tensor.shape)
            raise _wrong(source, f"{name}: expected shape {shapes[0]}, got {shapes[1]}; fix: an adapter of this base")
        if not torch.isfinite(tensor).all():
            raise _wrong(source, f"{name}: expected finite values, got NaN or infinity; fix: another adapter")


def _wrong(source: str, problem: str) -> TrainingError:
    return TrainingError(f"training.init_adapter: {source}: {problem}")
