"""Loading is complete or fails: tensors that are missing, renamed, superfluous, misshapen or not finite are errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import AdditiveReadoutError, RerankerError
from coterie.tasks.game import refuse_additive
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.spec import RerankerSpec
from tests.tasks.rerankers.popular import POPULAR
from tests.tasks.tiny import edit_json, pairs, save_reranker

Tensors = dict[str, Tensor]


def change(path: Path, changed: Callable[[Tensors], Tensors]) -> None:
    """Rewrite a file of tensors."""
    save_file({k: v.contiguous() for k, v in changed(load_file(path)).items()}, path, metadata={"format": "pt"})


def without(tensors: Tensors, part: str) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if part not in name}


def renamed(tensors: Tensors, old: str, new: str) -> Tensors:
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def refused(spec: RerankerSpec) -> str:
    with pytest.raises(RerankerError) as error:
        load_reranker(spec)
    assert "\n" not in str(error.value)
    assert "fix: " in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("adapter", [True, False])
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            lambda t: without(t, "layers.1.mlp.down_proj"),
            "1 are missing and would be random: model.layers.1.mlp.down_proj",
        ),
        (lambda t: renamed(t, "model.layers.1.", "model.layer.1."), "9 are missing.* it has model.layer.1.* instead"),
        (lambda t: renamed(t, "model.layers", "encoder.layers"), "are missing and would be random: model.layers.0"),
        (lambda t: without(t, "model.norm"), "model.norm.weight"),
        (
            lambda t: {**t, "model.layers.3.mlp.up_proj.weight": torch.ones(24, 16)},
            "that it does not use: model.layers.3",
        ),
        (lambda t: {**t, "model.norm.weight": torch.ones(8)}, r"model.norm.weight: expected .* \(16,\) .*, got \(8,\)"),
        (lambda t: {**t, "model.norm.weight": torch.full((16,), torch.nan)}, "NaN or infinity in model.norm.weight"),
    ],
)
def test_incomplete_base_is_refused(
    changed: Callable[[Tensors], Tensors], says: str, adapter: bool, tmp_path: Path
) -> None:
    spec = save_reranker(tmp_path, adapter=adapter)
    change(tmp_path / "base" / "model.safetensors", changed)
    assert re.search(says, refused(spec))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (lambda t: renamed(t, "layers.", "blocks."), "are missing: .*; .* are unused: .*blocks"),
        (lambda t: without(t, "layers.1."), "6 are missing: "),
        (
            lambda t: without(t, "layers.1.mlp.down_proj.lora_A"),
            "1 are missing: .*layers.1.mlp.down_proj.lora_A.weight",
        ),
        (
            lambda t: {**t, "base_model.model.model.layers.0.mlp.extra.lora_A.weight": torch.ones(2)},
            "are unused",
        ),
        (lambda t: renamed(t, ".score.", ".scorer."), "classification head in the adapter, got none"),
        (lambda t: {k: v[..., :1] if "lora_B" in k else v for k, v in t.items()}, "size mismatch|expected"),
        (
            lambda t: {k: torch.full_like(v, torch.inf) if "lora_B" in k else v for k, v in t.items()},
            "NaN or infinity in",
        ),
    ],
)
def test_incomplete_adapter_is_refused(changed: Callable[[Tensors], Tensors], says: str, tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    change(tmp_path / "adapter" / "adapter_model.safetensors", changed)
    with pytest.raises(RerankerError) as error:
        load_reranker(spec)
    assert re.search(says, str(error.value))
    assert "\n" not in str(error.value)


def test_adapter_for_modules_that_the_base_lacks_is_refused(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    edit_json(tmp_path / "adapter" / "adapter_config.json", target_modules=["gate_proj", "up_proj", "down_proj", "fc1"])
    assert "expected modules named 'fc1'" in refused(spec)


def test_adapter_of_another_rank_is_refused(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    edit_json(tmp_path / "adapter" / "adapter_config.json", r=3)
    with pytest.raises(RerankerError, match=r"size mismatch|expected"):
        load_reranker(spec)


@pytest.mark.parametrize("kind", [PromptTuningConfig, PrefixTuningConfig])
def test_adapter_that_cannot_be_merged_is_refused(kind: type, tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(spec.base, num_labels=1)
    get_peft_model(model, kind(task_type="SEQ_CLS", num_virtual_tokens=2)).save_pretrained(tmp_path / "prompt")
    text = refused(spec.model_copy(update={"adapter": str(tmp_path / "prompt")}))
    assert "expected an adapter that can be merged into the weights" in text
    assert "TUNING" in text


@pytest.mark.parametrize("name", list(POPULAR))
def test_missing_tensor_is_noticed_in_every_architecture(name: str, tmp_path: Path) -> None:
    """Remove tensors from the checkpoint one at a time: the error names each."""
    spec = POPULAR[name].save(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = load_file(path)
    chosen = [n for n in whole if ".1." not in n and ".2." not in n]  # one layer represents the others
    for missing in chosen[:: max(1, len(chosen) // 12)]:
        save_file({k: v for k, v in whole.items() if k != missing}, path, metadata={"format": "pt"})
        text = refused(spec)
        assert missing in text or "classification head" in text, text


def test_pooler_that_a_classifier_needs_is_never_random(tmp_path: Path) -> None:
    spec = POPULAR["ms-marco-minilm"].save(tmp_path)
    change(tmp_path / "model.safetensors", lambda t: without(t, "pooler"))
    for new_head in (False, True):
        with pytest.raises(RerankerError, match=r"bert\.pooler\.dense\.bias"):
            load_reranker(spec, new_head=new_head)


def test_other_heads_and_buffers_are_accepted(tmp_path: Path) -> None:
    """BERT is published with pretraining heads and position ids, RoBERTa with a pooler that its classifier does not use."""
    spec = POPULAR["ms-marco-minilm"].save(tmp_path / "bert")
    before = load_reranker(spec).score(pairs())
    extra = {"cls.predictions.bias": torch.ones(3), "bert.embeddings.position_ids": torch.arange(128)[None]}
    change(tmp_path / "bert" / "model.safetensors", lambda t: {**t, **extra})
    assert (load_reranker(spec).score(pairs()) - before).abs().max() < 1e-6
    spec = POPULAR["stsb-roberta"].save(tmp_path / "roberta")
    pooler = {"roberta.pooler.dense.weight": torch.ones(16, 16), "lm_head.bias": torch.ones(4)}
    change(tmp_path / "roberta" / "model.safetensors", lambda t: {**t, **pooler})
    load_reranker(spec)


def test_head_of_zeros_is_refused(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path, adapter=False)
    change(tmp_path / "base" / "model.safetensors", lambda t: {**t, "score.weight": torch.zeros(1, 16)})
    assert "expected a head with nonzero weights (score), got only zeros" in refused(spec)


def test_layer_with_one_neuron_is_refused(tmp_path: Path) -> None:
    reranker = load_reranker(save_reranker(tmp_path, intermediate_size=1))
    with pytest.raises(RerankerError, match="expected a layer with at least 2 players, got 1"):
        refuse_additive(RerankerGame(reranker, pairs(), SiteSpec(1)))


def test_infinite_score_is_reported_as_such(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path, adapter=False)
    change(
        tmp_path / "base" / "model.safetensors",
        lambda t: {k: v * (300.0 if "mlp" in k else 1.0) for k, v in t.items()},
    )
    with pytest.raises(
        RerankerError, match=r"scores are not finite in torch\.float16; fix: a dtype with a larger range"
    ):
        load_reranker(spec.model_copy(update={"dtype": "float16"}))
    assert not issubclass(RerankerError, AdditiveReadoutError)
