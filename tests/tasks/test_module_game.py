"""Games over the units of any module equal edited weights, and the examples run in a reduced form."""

from __future__ import annotations

import copy
import importlib.util
import itertools
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import LlamaConfig, LlamaForSequenceClassification, MixtralConfig, MixtralForSequenceClassification

from coterie.methods.msa import Evidence, evaluate_all, exact
from coterie.tasks.module_game import Experts, Features, ModuleGame

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2, "num_labels": 1}


def all_masks(n: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product([False, True], repeat=n)))


@pytest.fixture
def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), nn.LogSoftmax(-1)).eval()


@pytest.mark.parametrize("rows_at_once", [1, 16, 4096])
def test_ablated_hidden_units_equal_a_network_without_them(mlp: nn.Sequential, rows_at_once: int) -> None:
    inputs = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    game = ModuleGame(mlp, inputs, Features("1", 4), rows_at_once=rows_at_once)
    assert (game.n_players, game.n_outputs, game.output_shape) == (4, 21, (7, 3))
    masks = all_masks(4)
    for mask, found in zip(masks, game.ablate(masks), strict=True):
        edited = copy.deepcopy(mlp)
        edited[2].weight.data[:, mask] = 0
        torch.testing.assert_close(found.view(7, 3), edited(inputs).detach())
    assert game.meter.total == 16
    torch.testing.assert_close(mlp(inputs), ModuleGame(mlp, inputs, Features("1", 4))._ablate(masks[:1]).view(7, 3))


def test_inputs_of_a_module_and_mean_intervention(mlp: nn.Sequential) -> None:
    inputs = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    masks = all_masks(4)
    into, out_of = (ModuleGame(mlp, inputs, units) for units in (Features("2", 4, "input"), Features("1", 4)))
    torch.testing.assert_close(into.ablate(masks), out_of.ablate(masks))
    found = ModuleGame(mlp, inputs, Features("1", 4), intervention="mean").ablate(masks)
    hidden = torch.relu(mlp[0](inputs))
    for mask, outputs in zip(masks, found, strict=True):
        expected = mlp[3](mlp[2](torch.where(mask, hidden.mean(0), hidden)))
        torch.testing.assert_close(outputs.view(7, 3), expected.detach())


def test_ablated_channels_equal_edited_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Conv2d(6, 2, 3), nn.Sigmoid()).eval()
    images = torch.randn(3, 1, 8, 8)
    game = ModuleGame(model, images, Features("0", 3, dim=1))  # three pairs of channels
    assert game.output_shape == (3, 2, 4, 4)
    edited = copy.deepcopy(model)
    edited[2].weight.data[:, 2:4] = 0
    torch.testing.assert_close(game.ablate(game.masks([[1]])).view(game.output_shape), edited(images).detach())


def test_ablated_attention_heads_equal_edited_weights() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(**SIZES, num_attention_heads=4, num_key_value_heads=2, pad_token_id=0)
    model = LlamaForSequenceClassification(config).eval()
    ids = torch.randint(1, 50, (5, 9))
    path = "model.layers.0.self_attn.o_proj"
    game = ModuleGame(model, {"input_ids": ids}, Features(path, 4, "input"), lambda out: out.logits[:, 0])
    masks = all_masks(4)
    for mask, found in zip(masks, game.ablate(masks), strict=True):
        edited = copy.deepcopy(model)
        edited.get_submodule(path).weight.data[:, mask.repeat_interleave(4)] = 0
        torch.testing.assert_close(found, edited(input_ids=ids).logits[:, 0].detach())


def test_experts_of_a_mixture_are_silenced_without_rerouting() -> None:
    torch.manual_seed(0)
    config = MixtralConfig(**SIZES, num_attention_heads=4, num_key_value_heads=2, num_local_experts=4, pad_token_id=0)
    model = MixtralForSequenceClassification(config).eval()
    ids = torch.randint(1, 50, (5, 9))
    path = "model.layers.1.mlp.experts"
    game = ModuleGame(model, {"input_ids": ids}, Experts(path, 4), lambda out: out.logits[:, 0])
    assert game.n_players == 4
    masks = all_masks(4)
    for mask, found in zip(masks, game.ablate(masks), strict=True):
        edited = copy.deepcopy(model)
        edited.get_submodule(path).down_proj.data[mask] = 0
        torch.testing.assert_close(found, edited(input_ids=ids).logits[:, 0].detach())
    evidence = Evidence(game)
    evaluate_all(evidence)
    modes = exact(evidence).modes
    total = game.ablate(masks[[0]]) - game.ablate(masks[[-1]])
    np.testing.assert_allclose(modes.sum(axis=0), total[0].numpy(), atol=1e-6)


def test_invalid_games_are_refused_with_a_fix(mlp: nn.Sequential) -> None:
    inputs = torch.zeros(2, 5)
    with pytest.raises(ValueError, match=r"expected evaluation mode, got training mode; fix: model\.eval\(\)"):
        ModuleGame(copy.deepcopy(mlp).train(), inputs, Features("1", 4))
    with pytest.raises(ValueError, match="expected a submodule of Sequential, got '11'; fix: for example '1'"):
        ModuleGame(mlp, inputs, Features("11", 4))
    with pytest.raises(ValueError, match="that 3 players divide, got 4 in dimension -1"):
        ModuleGame(mlp, inputs, Features("1", 3)).ablate(torch.zeros(1, 3, dtype=torch.bool))
    mlp[1].num_experts = 5
    with pytest.raises(ValueError, match="1: expected 4 experts, got 5; fix: players=5"):
        ModuleGame(mlp, inputs, Experts("1", 4)).ablate(torch.zeros(1, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="readout: expected the batch of 2 first"):
        ModuleGame(mlp, inputs, Features("1", 4), readout=lambda out: out.sum())
    with pytest.raises(ValueError, match="Experts: expected intervention 'zero', got 'mean'; fix"):
        ModuleGame(mlp, inputs, Experts("1", 4), intervention="mean")


@pytest.mark.parametrize("name", ["msa_estimators", "msa_mlp", "msa_generator", "msa_moe"])
def test_examples_run_and_write_their_picture(name: str, tmp_path: Path) -> None:
    figures = example(name).run(tmp_path, quick=True)
    assert (tmp_path / f"{name}.png").stat().st_size > 5000
    assert all(np.isfinite(value) for value in figures.values())
    gaps = [value for key, value in figures.items() if "efficiency" in key or "sum of modes" in key]
    assert gaps
    assert max(gaps) < 1e-5


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    units=st.integers(1, 9),
    batch=st.integers(1, 5),
    outputs=st.integers(1, 4),
    bias=st.booleans(),
    intervention=st.sampled_from(["zero", "mean"]),
    rows_at_once=st.integers(1, 20),
)
def test_shortcut_through_a_sequential_changes_no_output(
    seed: int,
    units: int,
    batch: int,
    outputs: int,
    bias: bool,
    intervention: Literal["zero", "mean"],
    rows_at_once: int,
) -> None:
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(3, units), nn.Tanh(), nn.Linear(units, outputs, bias=bias), nn.LogSoftmax(-1)
    ).eval()
    inputs, masks = torch.randn(batch, 3), torch.rand(6, units) < 0.5
    games = [
        ModuleGame(network, inputs, Features("1", units), intervention=intervention, rows_at_once=rows_at_once)
        for _ in "ab"
    ]
    assert games[0]._tail is not None
    games[1]._tail = None
    torch.testing.assert_close(games[0].ablate(masks), games[1].ablate(masks), rtol=1e-5, atol=1e-5)


def test_other_networks_run_as_a_whole(mlp: nn.Sequential) -> None:
    inputs = torch.randn(2, 5)
    assert ModuleGame(mlp, inputs, Features("1", 4))._tail is not None
    assert ModuleGame(mlp, inputs, Features("1", 2))._tail is None  # groups of units
    assert ModuleGame(mlp, inputs, Features("2", 4, side="input"))._tail is None
    assert ModuleGame(mlp, inputs, Features("0", 4))._tail is None  # no linear map comes next
    hook = mlp[2].register_forward_hook(lambda _module, _given, out: 2 * out)
    assert ModuleGame(mlp, inputs, Features("1", 4))._tail is None
    hook.remove()
