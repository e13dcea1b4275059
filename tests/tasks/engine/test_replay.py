"""The engine equals plain forward passes of the whole model with hooks, for every intervention, layer and architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.architectures import architecture_of, layers_of
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from tests.tasks.tiny import pairs, save_reranker

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-8}


def plain_scores(
    reranker: Reranker,
    rows: list[Candidate],
    layer: int,
    mask: Tensor,
    intervention: str,
    mean: Tensor,
    lens: bool = False,
) -> Tensor:
    """The obvious way: one full forward pass per pair, a hook on the down projection, no batching, no cache."""
    site = layers_of(reranker.model)[layer]
    row = architecture_of(reranker.model)
    mlp, down_projection = site.get_submodule("mlp"), site.get_submodule(row.down)
    base = reranker.base_mlp.get(layer)
    residual = {}

    def replace(_module: object, arguments: tuple[Tensor], output: Tensor) -> Tensor:
        taken = arguments[0] * mask
        write = down_projection.weight
        if intervention == "zero":
            return output - taken @ write.T
        if intervention == "mean":
            return output - (taken - mean * mask) @ write.T
        x = residual["mlp_input"]
        gate, up, down = (base[f"mlp.{name}_proj.weight"] for name in ("gate", "up", "down"))
        own = torch.nn.functional.silu(x @ gate.T) * (x @ up.T)
        return output - taken @ write.T + (own * mask) @ down.T

    hooks = [
        mlp.register_forward_pre_hook(lambda _m, a: residual.update(mlp_input=a[0])),
        down_projection.register_forward_hook(replace),
        site.register_forward_hook(lambda _m, _a, out: residual.update(out=out[0] if isinstance(out, tuple) else out)),
    ]
    scores = []
    with torch.no_grad():
        for tokens in reranker.encode(rows):
            logit = reranker.model(input_ids=torch.tensor([tokens])).logits[0, 0]
            if lens:
                logit = reranker.model.score(reranker.model.model.norm(residual["out"][:, -1]))[0, 0]
            scores.append(logit)
    for hook in hooks:
        hook.remove()
    return torch.stack(scores)


@pytest.fixture(scope="module", params=["float32", "float64"])
def reranker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reranker:
    spec = save_reranker(tmp_path_factory.mktemp("tiny"))
    return load_reranker(spec.model_copy(update={"dtype": request.param}))


def random_masks(n: int, players: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(n, players, generator=generator) < torch.rand(n, 1, generator=generator)
    masks[0], masks[-1] = False, True
    for size in range(1, min(4, n - 1)):  # small sets take another path through the last layer than large ones
        masks[size] = False
        masks[size, torch.randperm(players, generator=generator)[:size]] = True
    return masks


@pytest.mark.parametrize("intervention", ["zero", "mean", "base"])
@pytest.mark.parametrize("readout", ["score", "lens"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_outputs_equal_plain_forward_passes_with_hooks(
    reranker: Reranker, layer: int, readout: str, intervention: str
) -> None:
    rows = pairs()
    engine = ReplayEngine(reranker, rows, SiteSpec(layer, intervention, readout), tokens_at_once=64)
    masks = random_masks(9, engine.n_players)
    got = engine.outputs(masks)
    expected = torch.stack(
        [
            plain_scores(reranker, rows, layer, m, intervention, engine.mean_activations, lens=readout == "lens")
            for m in masks
        ]
    )
    assert (got[0] - got[-1]).abs().max() > 1e-3, "without an effect of the ablation, equality would prove nothing"
    assert (got - expected).abs().max() <= TOLERANCE[got.dtype] * max(1.0, float(expected.abs().max()))


def test_small_sets_take_the_low_rank_path(reranker: Reranker) -> None:
    """Otherwise the tests above would not cover it."""
    engine = ReplayEngine(reranker, pairs(), SiteSpec(1))
    engine.outputs(random_masks(8, engine.n_players))
    forms = [batch.low_rank for batch in engine._prefix.batches]
    assert all(form is not None and form.pays(3) and not form.pays(20) for form in forms)


def test_sliding_window_falls_back_to_whole_layers(tmp_path: Path) -> None:
    """A window shorter than the inputs needs the model's own mask: the engine must not assume full causal attention."""
    reranker = load_reranker(save_reranker(tmp_path, "mistral", sliding_window=4))
    rows = pairs()
    engine = ReplayEngine(reranker, rows, SiteSpec(0))
    masks = random_masks(9, engine.n_players)
    expected = torch.stack([plain_scores(reranker, rows, 0, m, "zero", engine.mean_activations) for m in masks])
    assert (engine.outputs(masks) - expected).abs().max() <= 1e-5


@settings(max_examples=15, deadline=None)
@given(tokens_at_once=st.integers(16, 4096), n_masks=st.integers(1, 9), seed=st.integers(0, 99))
def test_batching_changes_nothing(
    shared_engine_inputs: tuple[Reranker, list[Candidate]], tokens_at_once: int, n_masks: int, seed: int
) -> None:
    reranker, rows = shared_engine_inputs
    small = ReplayEngine(reranker, rows, SiteSpec(0), tokens_at_once=tokens_at_once)
    large = ReplayEngine(reranker, rows, SiteSpec(0), tokens_at_once=10**6)
    masks = random_masks(n_masks, small.n_players, seed)
    assert (small.outputs(masks) - large.outputs(masks)).abs().max() <= 1e-5
    for pooling in ("mean", "last"):
        assert (small.activations(pooling) - large.activations(pooling)).abs().max() <= 1e-5


@pytest.fixture(scope="module")
def shared_engine_inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reranker, list[Candidate]]:
    return load_reranker(save_reranker(tmp_path_factory.mktemp("tiny"))), pairs()


class LargestResult(TorchDispatchMode):
    """Records the number of elements in the largest tensor that any operation made, apart from the result."""

    def __init__(self, result: int) -> None:
        super().__init__()
        self.largest, self._result = 0, result

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor) and tensor.numel() != self._result:
                self.largest = max(self.largest, tensor.numel())
        return result


@pytest.mark.parametrize(("layer", "counts"), [(0, (70, 140)), (1, (600, 1200))])
def test_memory_depends_on_the_setting_and_not_on_the_number_of_masks(
    tmp_path: Path, layer: int, counts: tuple[int, int]
) -> None:
    reranker = load_reranker(save_reranker(tmp_path))
    engine = ReplayEngine(reranker, pairs(), SiteSpec(layer), tokens_at_once=64)
    largest = []
    for n_masks in counts:
        masks = torch.zeros(n_masks, engine.n_players, dtype=torch.bool)
        masks[:, :2] = True
        with LargestResult(n_masks * engine.n_pairs) as seen:
            engine.outputs(masks)
        largest.append(seen.largest)
    assert largest[0] == largest[1]


@pytest.mark.parametrize("model_type", ["llama", "gpt_neox", "bert"])
@pytest.mark.parametrize("layer", [0, 2])
def test_activations_by_pair_equal_those_of_a_forward_pass(model_type: str, layer: int, tmp_path: Path) -> None:
    """Compared with a hook on the down projection, one pair at a time, without padding; token strings spell the texts."""
    reranker = load_reranker(save_reranker(tmp_path, model_type))
    game = RerankerGame(reranker, pairs(), SiteSpec(layer, "mean"))
    site = architecture_of(reranker.model)
    down = layers_of(reranker.model)[layer].get_submodule(site.down)
    found = dict(game.activations_by_pair())
    assert sorted(found) == list(range(len(game.pairs)))
    assert game.meter.counts == {"activations": 1}
    for position, (tokens, ids) in enumerate(zip(reranker.encode(game.pairs), game.token_ids(), strict=True)):
        seen: list[Tensor] = []
        handle = down.register_forward_pre_hook(lambda _m, arguments, seen=seen: seen.append(arguments[0][0]))
        with torch.no_grad():
            reranker.model(input_ids=torch.tensor([tokens]))
        handle.remove()
        expected = seen[0] if layer == 0 else seen[0][:1] if site.pooled == "first" else seen[0][-1:]
        assert ids == (tokens if layer == 0 else tokens[:1] if site.pooled == "first" else tokens[-1:])
        torch.testing.assert_close(found[position], expected, rtol=1e-4, atol=1e-5)
        if layer == 0:
            words = game.token_strings([i for i in ids if i not in reranker.tokenizer.all_special_ids])
            pair = game.pairs[position]
            assert "".join(words).replace(" ", "") == f"{pair.query}{pair.document}".replace(" ", "")
