"""LoRA adapters in peft's form: add one to a base, copy its tensors, and save it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from coterie.tasks.errors import RecipeError, TrainingError
from coterie.tasks.rerankers.adapters import has_module
from coterie.tasks.rerankers.architectures import architecture_of, layers_of
from coterie.tasks.rerankers.checkpoint import ADAPTER_CONFIG
from coterie.tasks.rerankers.weights import quiet_transformers
from coterie.tasks.training.spec import TrainingSpec


def add_lora(model: PreTrainedModel, recipe: TrainingSpec, head_modules: tuple[str, ...]) -> Any:
    """The model with a new LoRA adapter in its modules, and with a head that is trained too.

    Raises `RecipeError` for a target that the model does not have.
    """
    for target in recipe.targets:
        if not has_module(model, target):
            raise RecipeError("training.targets", "expected names of modules of the base", target)
    lora = LoraConfig(
        task_type="SEQ_CLS",
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=list(recipe.targets) or mlp_modules(model),
        modules_to_save=list(head_modules),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    with quiet_transformers():
        return get_peft_model(model, lora)


def mlp_modules(model: PreTrainedModel) -> list[str]:
    """Names of the linear modules in the MLPs, such as `mlp.up_proj`. Raises `TrainingError` if there are none."""
    row = architecture_of(model)
    names = {
        f"{path}.{name}".strip(".")
        for layer in layers_of(model)
        for path in (*row.mlp, row.down)
        for name, module in layer.get_submodule(path).named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    }
    if not names:
        raise TrainingError(
            f"{model.config.model_type}: expected linear modules in the MLP, got none; fix: name the modules in "
            f"training.targets"
        )
    return sorted(names)


def adapter_tensors(tuned: Any) -> dict[str, Tensor]:
    """A copy of the adapter's tensors, head included, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in get_peft_model_state_dict(tuned).items()}


def set_adapter_tensors(tuned: Any, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors from `adapter_tensors` back into the adapter."""
    set_peft_model_state_dict(tuned, dict(tensors))


def save_adapter(tuned: Any, folder: Path) -> None:
    """Save the adapter in hub layout. A base in a folder is named relative to `folder`, so that both can move together."""
    card = folder / "README.md"
    card.unlink(missing_ok=True)  # the card of an earlier adapter: peft would add to it and warn about its form
    tuned.save_pretrained(folder)
    card.unlink(missing_ok=True)  # peft's empty card; the real one is written from measurements
    path = folder / ADAPTER_CONFIG
    config = json.loads(path.read_text())
    base = Path(config["base_model_name_or_path"])
    if base.is_dir():
        config["base_model_name_or_path"] = os.path.relpath(base.resolve(), folder.resolve())
    config["target_modules"] = sorted(config["target_modules"])  # a set, whose order differs between runs
    config["modules_to_save"] = sorted(set(config["modules_to_save"]))  # peft repeats names of the head
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
