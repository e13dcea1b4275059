"""Loading: the traps that would give wrong scores silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from coterie.tasks.architectures import UnknownArchitectureError
from coterie.tasks.engine import ReplayEngine
from coterie.tasks.reranker import RerankerError, RerankerSpec, Template, load_reranker, weights_hash
from tests.tasks.tiny import pairs, save_reranker


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_scores_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    reranker = load_reranker(save_reranker(tmp_path))
    together = reranker.score(pairs())
    alone = torch.cat([reranker.score([p]) for p in pairs()])
    assert (together - alone).abs().max() < 1e-5
    assert together.std() > 1e-3


def test_merged_adapter_equals_peft_unmerged(tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    spec = save_reranker(tmp_path)
    base = AutoModelForSequenceClassification.from_pretrained(spec.base, num_labels=1)
    unmerged = PeftModel.from_pretrained(base, str(spec.adapter)).eval()
    reranker = load_reranker(spec)
    with torch.no_grad():
        expected = torch.stack(
            [unmerged(input_ids=torch.tensor([row])).logits[0, 0] for row in reranker.encode(pairs())]
        )
    assert (reranker.score(pairs()) - expected).abs().max() < 1e-5


def test_base_mlp_is_the_base_and_not_the_merged_weights(tmp_path: Path) -> None:
    reranker = load_reranker(save_reranker(tmp_path))
    plain = load_file(tmp_path / "base" / "model.safetensors")
    kept = reranker.base_mlp[1]
    assert torch.equal(kept.down, plain["model.layers.1.mlp.down_proj.weight"])
    merged = reranker.model.get_submodule("model.layers.1.mlp.down_proj").weight
    assert not torch.allclose(kept.down, merged)


@pytest.mark.parametrize("token", [None, 3])
def test_padding_token_that_differs_from_the_tokenizers(tmp_path: Path, token: int | None) -> None:
    spec = save_reranker(tmp_path)
    edit(tmp_path / "base" / "config.json", pad_token_id=token)
    with pytest.raises(RerankerError, match="same padding token"):
        load_reranker(spec)


def test_left_padding(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    edit(tmp_path / "base" / "tokenizer_config.json", padding_side="left")
    with pytest.raises(RerankerError, match="right padding"):
        load_reranker(spec)


def test_adapter_without_its_head(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if ".score." not in k}, path)
    with pytest.raises(RerankerError, match="classification head"):
        load_reranker(spec)


def test_unknown_architecture_shows_the_row_to_add(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    save_reranker(tmp_path, adapter=False)
    config = GPT2Config(vocab_size=400, n_layer=1, n_head=2, n_embd=8, num_labels=1, pad_token_id=0)
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path / "base")
    reranker = load_reranker(RerankerSpec(base=str(tmp_path / "base"), template=Template(max_length=16)))
    with pytest.raises(UnknownArchitectureError, match=r'"gpt2": Architecture\('):
        ReplayEngine(reranker, pairs(), 0)


def test_base_intervention_needs_an_adapter(tmp_path: Path) -> None:
    reranker = load_reranker(save_reranker(tmp_path, adapter=False))
    with pytest.raises(ValueError, match="no adapter; fix: 'zero' or 'mean'"):
        ReplayEngine(reranker, pairs(), 0, "base")


def test_layer_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="layer: expected 0 to 2, got 3"):
        ReplayEngine(load_reranker(save_reranker(tmp_path)), pairs(), 3)


def test_template_replaces_literally() -> None:
    template = Template(first="query: {query}", second="document: {document} {query}")
    assert template.fill("a {document}", "b {0}") == ("query: a {document}", "document: b {0} {query}")


def test_long_pairs_are_cut_to_the_template(tmp_path: Path) -> None:
    reranker = load_reranker(save_reranker(tmp_path))
    assert max(map(len, reranker.encode(pairs()))) <= 32


def test_weights_hash_changes_with_weights_adapter_and_template(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    hashes = {weights_hash(spec), weights_hash(spec.model_copy(update={"adapter": None}))}
    hashes.add(weights_hash(spec.model_copy(update={"template": Template(max_length=16)})))
    path = tmp_path / "base" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"][0] += 1e-3
    save_file(tensors, path, metadata={"format": "pt"})
    assert len(hashes | {weights_hash(spec)}) == 4
