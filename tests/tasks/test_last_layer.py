"""The last layer at the last token, dense and in its low-rank form: equal to the whole layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from coterie.tasks.engine import ReplayEngine
from coterie.tasks.reranker import Reranker, load_reranker
from tests.tasks.tiny import pairs, save_reranker

LAYOUTS = {
    "llama": ("llama", {}),
    "mistral": ("mistral", {}),
    "qwen2, biases": ("qwen2", {}),
    "gpt_neox, MLP beside": ("gpt_neox", {"use_parallel_residual": True}),
    "gpt_neox, MLP after": ("gpt_neox", {"use_parallel_residual": False}),
    "gpt_neox, no attention biases": ("gpt_neox", {"attention_bias": False}),
}


@pytest.fixture(params=list(LAYOUTS))
def reranker(request: pytest.FixtureRequest, tmp_path: Path) -> Reranker:
    model_type, changes = LAYOUTS[request.param]
    loaded = load_reranker(save_reranker(tmp_path, model_type, **changes).model_copy(update={"dtype": "float64"}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # fresh models have gains of 1 and biases of 0, which hide mistakes
        for parameter in loaded.model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return loaded


def test_both_forms_equal_the_whole_layer(reranker: Reranker) -> None:
    rows = pairs()
    engine, whole = ReplayEngine(reranker, rows, 1), ReplayEngine(reranker, rows, 1)
    whole._last_layer = None
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(24, engine.n_players, generator=generator) < torch.linspace(0.02, 0.9, 24)[:, None]
    expected = whole.outputs(masks)
    got = engine.outputs(masks)  # small sets in the low-rank form, large ones dense at the last token
    assert all(batch.low_rank is None for batch in whole._batches)
    forms = [batch.low_rank for batch in engine._batches]
    small = [form is not None and form.pays(int(mask.sum())) for mask in masks for form in forms[:1]]
    assert 3 <= sum(small) <= 21
    assert expected.std(0).max() > 1e-2
    assert (got - expected).abs().max() <= 1e-10


def test_unmerged_lora_replays_whole_layers(tmp_path: Path) -> None:
    """Its projections are not plain linear maps: their weights alone would leave LoRA out."""
    reranker = load_reranker(save_reranker(tmp_path, "llama"))
    attention = reranker.model.model.layers[-1].self_attn

    class Doubled(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    doubled = Doubled(*attention.k_proj.weight.shape[::-1], bias=False)
    doubled.load_state_dict(attention.k_proj.state_dict())
    attention.k_proj = doubled
    engine = ReplayEngine(reranker, pairs(), 1)  # checks the replayed scores against the model's own
    engine.outputs(torch.zeros(9, engine.n_players, dtype=torch.bool))
    assert engine._last_layer is None
    assert engine._batches[0].low_rank is None
