"""The engine on random shapes equals one forward pass of the whole model per pair and mask, with a hook."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from tests.tasks.engine.test_replay import TOLERANCE, plain_scores, random_masks
from tests.tasks.tiny import pairs, save_reranker


@pytest.fixture(scope="module")
def rerankers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int, int, int, int], Reranker]:
    """One per shape: saving and loading would otherwise take most of the time."""
    return {}


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    model_type=st.sampled_from(["llama", "mistral", "qwen2", "qwen3", "gpt_neox"]),
    kv_heads=st.sampled_from([1, 2]),
    sharing=st.sampled_from([1, 3]),
    layers=st.integers(2, 4),
    players=st.sampled_from([5, 24]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_every_shape_mask_intervention_and_dtype_equals_plain_forward_passes(
    rerankers: dict[Any, Reranker],
    tmp_path_factory: pytest.TempPathFactory,
    model_type: str,
    kv_heads: int,
    sharing: int,
    layers: int,
    players: int,
    seed: int,
    data: st.DataObject,
) -> None:
    shape = (model_type, kv_heads, sharing, layers, players)
    if shape not in rerankers:
        folder: Path = tmp_path_factory.mktemp("shape")
        heads = kv_heads * sharing
        sizes = {"hidden_size": 8 * heads, "num_attention_heads": heads}
        if model_type != "gpt_neox":
            sizes |= {"head_dim": 8, "num_key_value_heads": kv_heads}
        spec = save_reranker(folder, model_type, layers=layers, intermediate_size=players, **sizes)
        rerankers[shape] = load_reranker(spec, keep_base=range(layers))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]))
    reranker = rerankers[shape]
    reranker.model.to(dtype)
    reranker = replace(
        reranker,
        base_mlp={i: {name: p.to(dtype) for name, p in kept.items()} for i, kept in reranker.base_mlp.items()},
    )
    layer = data.draw(st.integers(0, layers - 1))
    intervention: Any = data.draw(
        st.sampled_from(["zero", "mean"] if model_type == "gpt_neox" else ["zero", "mean", "base"])
    )
    rows = pairs(n_queries=2, depth=data.draw(st.integers(1, 3)), seed=seed)
    engine = ReplayEngine(
        reranker, rows, SiteSpec(layer, intervention), tokens_at_once=data.draw(st.sampled_from([16, 64, 4096]))
    )
    masks = random_masks(9, players, seed)
    expected = torch.stack(
        [plain_scores(reranker, rows, layer, m, intervention, engine.mean_activations) for m in masks]
    )
    # the norms of transformers compute in float32, whatever their input
    tolerance = TOLERANCE[torch.float32] if dtype == torch.float32 else 1e-5
    assert (engine.outputs(masks) - expected).abs().max() <= tolerance * max(1.0, float(expected.abs().max()))
