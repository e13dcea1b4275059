"""Training in miniature: what it saves loads like a published checkpoint, and the card says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from coterie.tasks.collections.types import Domain
from coterie.tasks.registry import get_task_spec
from coterie.tasks.reranker import RerankerSpec, Template, load_reranker
from coterie.tasks.training import bundle
from coterie.tasks.training.adapter import AdapterRecipe, train_relevance
from coterie.tasks.training.base import BaseRecipe, matching_batch, train_base

TINY = BaseRecipe(
    vocabulary=600,
    hidden=16,
    intermediate=24,
    layers=2,
    heads=2,
    max_length=24,
    matching_steps=60,
    text_steps=3,
    tokens_a_step=256,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, pydoc_domains: dict[str, Domain]) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    domain = pydoc_domains["pandas"]
    names = sorted(domain.queries)[:60]
    log: list[str] = []
    train_base(TINY, [(domain.queries[q], domain.documents[q]) for q in names], folder / "base", log.append)
    recipe = AdapterRecipe(rank=2, max_length=24, steps=2, queries_a_step=4)
    train_relevance(folder / "base", domain, names, recipe, folder / "relevance", log.append)
    return folder


def test_what_is_saved_loads_as_a_reranker(trained: Path) -> None:
    spec = RerankerSpec(
        base=str(trained / "base"), adapter=str(trained / "relevance"), template=Template(max_length=24)
    )
    reranker = load_reranker(spec)
    assert reranker.model.config.num_labels == 1
    assert (
        json.loads((trained / "relevance" / "adapter_config.json").read_text())["base_model_name_or_path"] == "../base"
    )
    assert not (trained / "relevance" / "README.md").exists()


def test_matching_targets_are_what_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    ids, share, found = matching_batch(50, 4, 9, 600, generator)
    for row, expected_share, expected_found in zip(ids.tolist(), share.tolist(), found.tolist(), strict=True):
        query, document = row[1:5], row[6:15]
        assert expected_found == [float(t in query) for t in document]
        assert expected_share == pytest.approx(sum(t in document for t in query) / 4)
    assert share.min() == 0
    assert share.max() == 1


def test_card_says_what_was_measured(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pydoc_domains: dict[str, Domain]
) -> None:
    monkeypatch.setattr(bundle, "QUERIES_MEASURED", 8)
    spec = get_task_spec("pydoc-llama/relevance")
    reranker = RerankerSpec(
        base=str(trained / "base"), adapter=str(trained / "relevance"), template=Template(max_length=24)
    )
    data = spec.data.model_copy(update={"transfer": ("pandas",)})
    spec = spec.model_copy(update={"reranker": reranker, "data": data, "layer": 1})
    lines: list[str] = []
    measured = bundle.measure(spec, lines.append)
    bundle.write_card(spec, tmp_path, measured)
    card = (tmp_path / "README.md").read_text()
    assert "| BM25 order | " in card
    assert f"{measured['ndcg_at_10']['heldout']['reranker'][0]:.3f}" in card
    assert set(measured["whole_layer_drop"]) == {"0", "1"}
    assert json.loads((tmp_path / "card.json").read_text())["queries"] == {"heldout": 8, "pandas": 8}


def test_interval_holds_the_mean() -> None:
    import numpy as np

    mean, low, high = bundle.interval(np.random.default_rng(1).normal(3, 1, 400))
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)
