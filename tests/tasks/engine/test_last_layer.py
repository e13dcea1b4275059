"""The last layer at the last token, dense and in its low-rank form, equals the whole layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.tasks.engine import last_layer
from coterie.tasks.engine.last_layer import LowRankLastLayer
from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.rotary_layer import LastLayer, RotaryLayers
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
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


@pytest.mark.parametrize("layer", [0, 1])
def test_both_forms_equal_the_whole_layer(reranker: Reranker, layer: int) -> None:
    rows = pairs()
    engine = ReplayEngine(reranker, rows, SiteSpec(layer))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RotaryLayers, "of", lambda *_: None)
        whole = ReplayEngine(reranker, rows, SiteSpec(layer))  # the layers themselves, on every token
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(24, engine.n_players, generator=generator) < torch.linspace(0.02, 0.9, 24)[:, None]
    expected = whole.outputs(masks)
    got = engine.outputs(masks)  # small sets in the low-rank form, large ones dense at the last token
    assert all(batch.low_rank is None for batch in whole._prefix.batches)
    forms = [batch.low_rank for batch in engine._prefix.batches]
    small = [form is not None and form.pays(int(mask.sum())) for mask in masks for form in forms[:1]]
    assert 3 <= sum(small) <= 21 if layer == 1 else sum(small) == 0
    assert expected.std(0).max() > 1e-2
    assert (got - expected).abs().max() <= 1e-6  # float64, but norms compute in float32


def test_unmerged_lora_replays_whole_layers(tmp_path: Path) -> None:
    """Its projections are not plain linear maps; their weights alone would omit LoRA."""
    reranker = load_reranker(save_reranker(tmp_path, "llama"))
    attention = reranker.model.model.layers[-1].self_attn

    class Doubled(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    doubled = Doubled(*attention.k_proj.weight.shape[::-1], bias=False)
    doubled.load_state_dict(attention.k_proj.state_dict())
    attention.k_proj = doubled
    engine = ReplayEngine(reranker, pairs(), SiteSpec(1))  # checks the replayed scores against the model's own
    engine.outputs(torch.zeros(9, engine.n_players, dtype=torch.bool))
    assert engine._prefix.after.rotary is None
    assert engine._prefix.batches[0].low_rank is None


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    tokens=st.integers(1, 35),
    kv_heads=st.integers(1, 3),
    sharing=st.integers(1, 2),
    rotated=st.sampled_from([2, 4, 8]),
    shifted=st.booleans(),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_fused_kernel_equals_the_formulas_in_torch(
    seed: int,
    tokens: int,
    kv_heads: int,
    sharing: int,
    rotated: int,
    shifted: bool,
    sizes: list[int],
    dtype: torch.dtype,
) -> None:
    """Any number of tokens (padded to whole vectors), shared keys, partial rotation, sets of any size including empty ones."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    width, size, rows, batch = 12, 8, 9, 3
    norm = torch.nn.LayerNorm(width, dtype=dtype) if shifted else torch.nn.RMSNorm(width, eps=1e-5, dtype=dtype)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter += 0.3 * normal(width)
    heads = kv_heads * sharing
    query, key, value = ((normal(n * size, width), None) for n in (heads, kv_heads, kv_heads))
    layer = LastLayer(norm, query, key, value, size, size**-0.5, lambda stream, mixed: torch.cat((stream, mixed), -1))
    angles = torch.arange(tokens, dtype=dtype)[:, None] * torch.rand(rotated // 2, generator=generator, dtype=dtype)
    rotary = (torch.cat((angles, angles), -1).cos()[None], torch.cat((angles, angles), -1).sin()[None])
    last = torch.randint(0, tokens, (batch,), generator=generator)
    arguments = (normal(batch, tokens, width), last, 0.2 * normal(rows, batch * tokens), normal(rows, width), rotary)
    groups = [torch.randperm(rows, generator=generator)[:n] for n in sizes]
    with torch.no_grad():
        fused = LowRankLastLayer(layer, *arguments)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(last_layer, "_fuses", lambda _x: False)
            plain = LowRankLastLayer(layer, *arguments)
        got, expected = fused.outputs(groups), plain.outputs(groups)
    assert fused._is_fused
    assert not plain._is_fused
    torch.testing.assert_close(
        got, expected, rtol=1e-4 if dtype == torch.float32 else 1e-9, atol=1e-4 if dtype == torch.float32 else 1e-10
    )
