"""Adapters found in the wild: on shared weights, with their own tokenizers, of unknown kinds, in the base's folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import FourierFTConfig, LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file, save_file

from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.size import describe
from coterie.tasks.rerankers.spec import RerankerSpec
from tests.tasks.rerankers.popular import POPULAR
from tests.tasks.tiny import edit_json, pairs, save_reranker


def tuned(name: str, spec: RerankerSpec, folder: Path, config: Any) -> RerankerSpec:
    """The stand-in with a random adapter of this kind."""
    model = getattr(transformers, POPULAR[name].model).from_pretrained(spec.base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of shared weights
        peft = get_peft_model(model, config)
        torch.manual_seed(1)
        for parameter in peft.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter) * 0.3)
        peft.save_pretrained(folder)
    return spec.model_copy(update={"adapter": str(folder)})


@pytest.mark.parametrize(
    ("name", "target", "kind"),
    [
        ("qwen3-reranker", "lm_head", TaskType.CAUSAL_LM),
        ("qwen3-reranker", "embed_tokens", TaskType.CAUSAL_LM),
        ("monot5", "lm_head", TaskType.SEQ_2_SEQ_LM),
    ],
)
def test_merge_into_shared_weights_is_refused(name: str, target: str, kind: TaskType, tmp_path: Path) -> None:
    spec = POPULAR[name].save(tmp_path / "base")
    config = LoraConfig(task_type=kind, r=2, target_modules=[target])
    with pytest.raises(RerankerError, match=r"expected equal scores when merged into the weights, got .*; fix: "):
        load_reranker(tuned(name, spec, tmp_path / "adapter", config))


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(task_type="SEQ_CLS", r=2, target_modules="all-linear"),
        LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "output.dense"], use_rslora=True, use_dora=True),
        LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["word_embeddings"]),
        FourierFTConfig(task_type="SEQ_CLS", n_frequency=8, target_modules=["query"]),
    ],
)
def test_merged_adapter_of_every_kind_scores_as_unmerged(config: Any, tmp_path: Path) -> None:
    name = "ms-marco-minilm"
    spec = tuned(name, POPULAR[name].save(tmp_path / "base"), tmp_path / "adapter", config)
    base = transformers.AutoModelForSequenceClassification.from_pretrained(spec.base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(spec.base)
    peft = PeftModel.from_pretrained(base, str(spec.adapter)).eval()
    with torch.no_grad():
        expected = [peft(**tokenizer(p.query, p.document, return_tensors="pt")).logits[0, 0] for p in pairs()]
    assert (load_reranker(spec).score(pairs()) - torch.stack(expected)).abs().max() < 1e-5


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": ["up_proj", "down_proj"], "layers_to_transform": [0]},
    ],
)
def test_intervention_base_is_refused_at_a_layer_that_the_adapter_leaves_unchanged(
    config: dict[str, Any], tmp_path: Path
) -> None:
    spec = POPULAR["rankllama"].save(tmp_path / "base")
    spec = tuned("rankllama", spec, tmp_path / "adapter", LoraConfig(task_type="SEQ_CLS", r=2, **config))
    with pytest.raises(ValueError, match="has no LoRA update to revert, got 'base'; fix: 'zero' or 'mean'"):
        ReplayEngine(load_reranker(spec), pairs(), SiteSpec(1, "base"))


def test_adapter_in_the_folder_of_its_base_is_refused(tmp_path: Path) -> None:
    spec = POPULAR["rankllama"].save(tmp_path)
    tuned("rankllama", spec, tmp_path, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["up_proj"]))
    with pytest.raises(
        RerankerError, match="expected a base without an adapter, got one with an adapter in its folder"
    ):
        load_reranker(spec)


def test_tokenizer_saved_with_an_adapter_must_be_that_of_the_base(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(spec.base)
    tokenizer.save_pretrained(str(spec.adapter))
    expected = load_reranker(spec).score(pairs())
    assert expected.std() > 1e-3
    tokenizer.add_tokens(["apple brick"])
    tokenizer.save_pretrained(str(spec.adapter))
    with pytest.raises(RerankerError, match=r"expected the tokenizer of .*base, got a different one with the adapter"):
        load_reranker(spec)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"peft_type": "NEWLORA"}, "peft_type: expected a kind that the installed peft knows, got 'NEWLORA'"),
        ({"peft_type": None}, "got None"),
        ({"turbo": 3}, "expected settings that the installed peft knows, got turbo, which it would ignore"),
    ],
)
def test_adapter_configuration_unknown_to_peft_is_refused(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    edit_json(tmp_path / "adapter" / "adapter_config.json", **changes)
    with pytest.raises(RerankerError, match=says):
        load_reranker(spec)


def test_unknown_setting_that_is_off_is_accepted(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    edit_json(tmp_path / "adapter" / "adapter_config.json", turbo=None, faster=False)
    assert load_reranker(spec).score(pairs()).std() > 1e-3


def test_broken_adapter_files_are_refused_in_one_line(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    path = tmp_path / "adapter" / "adapter_config.json"
    text = path.read_text()
    for broken in ("[1]", "3", '"LORA"', "{", "null"):
        path.write_text(broken)
        with pytest.raises(RerankerError) as error:
            load_reranker(spec)
        assert "\n" not in str(error.value)
    path.write_text(text)
    save_file({}, tmp_path / "adapter" / "adapter_model.safetensors")
    for check in (describe, load_reranker):
        with pytest.raises(RerankerError, match=r"expected tensors in adapter_model.safetensors, got none"):
            check(spec)


def test_tensor_names_of_older_peft_versions_load_or_are_refused(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    expected = load_reranker(spec).score(pairs())
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({k.replace(".lora_A.weight", ".lora_A.default.weight"): v for k, v in load_file(path).items()}, path)
    try:
        got = load_reranker(spec).score(pairs())
    except RerankerError:
        return  # refused is fine, a wrong score is not
    assert (got - expected).abs().max() < 1e-5
