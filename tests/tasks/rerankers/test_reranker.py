"""Loading a reranker: what would silently give wrong scores is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.checkpoint import adapter_file, weights_hash
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.size import describe
from coterie.tasks.rerankers.spec import RerankerSpec, Template
from tests.tasks.rerankers.popular import POPULAR
from tests.tasks.tiny import WORDS, edit_json, pairs, save_reranker


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
    assert torch.equal(kept["mlp.down_proj.weight"], plain["model.layers.1.mlp.down_proj.weight"])
    merged = reranker.model.get_submodule("model.layers.1.mlp.down_proj").weight
    assert not torch.allclose(kept["mlp.down_proj.weight"], merged)
    assert set(load_reranker(save_reranker(tmp_path), keep_base=[2]).base_mlp) == {2}


def test_different_padding_tokens_of_model_and_tokenizer_are_refused(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    edit_json(tmp_path / "base" / "config.json", pad_token_id=3)
    with pytest.raises(RerankerError, match="same padding token"):
        load_reranker(spec)


@pytest.mark.parametrize("change", [{"padding_side": "left"}, {"pad_token": None}])
def test_padding_does_not_depend_on_the_tokenizer(tmp_path: Path, change: dict[str, Any]) -> None:
    spec = save_reranker(tmp_path)
    expected = load_reranker(spec).score(pairs())
    edit_json(tmp_path / "base" / "tokenizer_config.json", **change)
    if "pad_token" in change:  # as Llama, Mistral and Pythia are published
        edit_json(tmp_path / "base" / "config.json", pad_token_id=None)
    got = load_reranker(spec)
    assert (got.score(pairs()) - expected).abs().max() < 1e-5
    masks = torch.ones(1, 24, dtype=torch.bool)
    assert (ReplayEngine(got, pairs(), SiteSpec(1)).scores - expected).abs().max() < 1e-5
    assert ReplayEngine(got, pairs(), SiteSpec(1)).outputs(masks).std() > 1e-3


def test_padding_token_that_is_also_the_end_token_is_refused(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    edit_json(tmp_path / "base" / "config.json", pad_token_id=2)
    edit_json(tmp_path / "base" / "tokenizer_config.json", pad_token="</s>")
    with pytest.raises(RerankerError, match=r"end token other than the padding token, got 2 for both"):
        load_reranker(spec)


def test_base_without_head_needs_an_adapter(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    path = tmp_path / "base" / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if k != "score.weight"}, path, metadata={"format": "pt"})
    assert load_reranker(spec).model.config.num_labels == 1
    with pytest.raises(RerankerError, match=r"classification head .score. in the checkpoint, got none"):
        load_reranker(spec.model_copy(update={"adapter": None}))


def test_pickled_weights_are_never_loaded(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(RerankerError, match=r"a .bin is a pickle, which is never loaded"):
        load_reranker(spec)
    (tmp_path / "base" / "model.safetensors").rename(tmp_path / "base" / "pytorch_model.bin")
    with pytest.raises(RerankerError, match="expected a checkpoint in hub layout"):
        load_reranker(spec.model_copy(update={"adapter": None}))


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path, adapter=False)
    (tmp_path / "base" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nEvil = Config = None\n")
    auto = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Evil"}
    edit_json(tmp_path / "base" / "config.json", auto_map=auto)
    assert load_reranker(spec).score(pairs()).std() > 1e-3
    edit_json(tmp_path / "base" / "config.json", model_type="evil")
    with pytest.raises(RerankerError):
        load_reranker(spec)
    assert not (tmp_path / "ran").exists()


def test_unavailable_hub_checkpoint_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RerankerError, match=r"hub id in the cache or on a reachable hub, got neither.*fix: ") as error:
        describe(RerankerSpec(base="nobody/has-this", adapter="nobody/nor-this"))
    assert "\n" not in str(error.value)


def test_hub_checkpoint_in_the_cache_is_hashed_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = RerankerSpec(base="someone/model")
    unknown = weights_hash(spec)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda _repo, name, revision: str(tmp_path / "snapshots" / (revision or "c0ffee") / name),
    )
    assert len({unknown, weights_hash(spec), weights_hash(spec.model_copy(update={"revision": "beef"}))}) == 3


def test_precision_and_attention_are_as_specified(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path).model_copy(update={"dtype": "bfloat16", "attention": "eager"})
    reranker = load_reranker(spec)
    assert reranker.model.dtype == torch.bfloat16
    assert reranker.model.config._attn_implementation == "eager"
    exact = load_reranker(spec.model_copy(update={"dtype": "float32", "attention": None}))
    assert exact.model.config._attn_implementation == "sdpa"
    assert 0 < (reranker.score(pairs()).float() - exact.score(pairs())).abs().max() < 0.25


def test_empty_second_segment_makes_a_single_text(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    template = Template(first="query: {query} document: {document}", second="", max_length=32)
    reranker = load_reranker(spec.model_copy(update={"template": template}))
    separator = 3
    assert all(separator not in row for row in reranker.encode(pairs()))
    assert all(separator in row for row in load_reranker(spec).encode(pairs()))


def test_adapter_without_its_head_is_refused(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if ".score." not in k}, path)
    with pytest.raises(RerankerError, match="classification head"):
        load_reranker(spec)


def test_base_intervention_needs_an_adapter(tmp_path: Path) -> None:
    reranker = load_reranker(save_reranker(tmp_path, adapter=False))
    with pytest.raises(ValueError, match="has no LoRA update to revert, got 'base'; fix: 'zero' or 'mean'"):
        ReplayEngine(reranker, pairs(), SiteSpec(0, "base"))


def test_layer_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="layer: expected 0 to 2, got 3"):
        ReplayEngine(load_reranker(save_reranker(tmp_path)), pairs(), SiteSpec(3))


def test_template_replaces_fields_literally() -> None:
    template = Template(first="query: {query}", second="document: {document} {query}")
    assert template.fill("a {document}", "b {0}") == ("query: a {document}", "document: b {0} a {document}")


def test_long_pairs_are_truncated_to_max_length(tmp_path: Path) -> None:
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


def test_tokenizer_may_be_only_a_sentencepiece_model(tmp_path: Path) -> None:
    """monoT5 is published with `spiece.model` and without `tokenizer.json`."""
    from sentencepiece import SentencePieceTrainer

    spec = POPULAR["monot5"].save(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    SentencePieceTrainer.train(
        sentence_iterator=iter([*(" ".join(WORDS), "Query: Document: Relevant: true false") * 50]),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=40,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        user_defined_symbols=["▁true", "▁false"],
        minloglevel=2,
    )
    reranker = load_reranker(spec.model_copy(update={"template": spec.template.model_copy(update={"max_length": 64})}))
    assert reranker.encode(pairs())[0][-1] == 1, "the end token of T5"
    assert reranker.score(pairs()).std() > 1e-3


def test_file_missing_from_a_repository_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """RankLLaMA is published with a pickled adapter only."""
    from huggingface_hub.errors import EntryNotFoundError

    def lacking(*_: object, **__: object) -> str:
        raise EntryNotFoundError("404")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", lacking)
    monkeypatch.setattr("coterie.tasks.rerankers.checkpoint.check_reachable", lambda *_: None)
    with pytest.raises(
        RerankerError, match=r"expected adapter_model.safetensors in the repository, got none \(a .bin is a"
    ):
        adapter_file("castorini/rankllama", "adapter_model.safetensors", None)
