"""Every architecture in the table, as a tiny random model: ablations equal plain forwards with hooks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import UnknownArchitectureError
from coterie.tasks.game import Capability
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.architectures import ARCHITECTURES, architecture_of
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from coterie.tasks.rerankers.size import describe
from tests.tasks.rerankers.popular import POPULAR
from tests.tasks.tiny import CONFIGS, masks_of, pairs, save_reranker

LAYERS = {  # independent of the table, which is under test
    "gpt_neox": "gpt_neox.layers",
    "gpt2": "transformer.h",
    "opt": "model.decoder.layers",
    "bert": "bert.encoder.layer",
}
DOWN = {
    "gpt_neox": "mlp.dense_4h_to_h",
    "gpt2": "mlp.c_proj",
    "opt": "fc2",
    "bert": "output.dense",
    "modernbert": "mlp.Wo",
}
INTO: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "opt": lambda layer, x: layer.activation_fn(layer.fc1(x)),
    "bert": lambda layer, x: layer.intermediate(x),
}
ENTRY = {"opt": "fc1", "bert": "intermediate"}
PLAIN = [name for name in CONFIGS if name != "mixtral"]


def layer_of(model: Any, model_type: str, layer: int) -> Any:
    return model.get_submodule(f"{LAYERS.get(model_type.partition('-')[0], 'model.layers')}.{layer}")


def plain_scores(
    reranker: Reranker, model_type: str, layer: int, mask: Tensor, change: Callable[..., Tensor]
) -> Tensor:
    """One full forward per pair; `change` returns what replaces the contribution of the masked activations."""
    kind = model_type.partition("-")[0]
    site = layer_of(reranker.model, model_type, layer)
    seen: dict[str, Tensor] = {}

    def replace(_module: object, arguments: tuple[Tensor], output: Tensor) -> Tensor:
        down = site.get_submodule(DOWN.get(kind, "mlp.down_proj"))
        write = down.weight if kind == "gpt2" else down.weight.T
        instead = change(arguments[0], seen["mlp_input"], write, mask)
        return output - (arguments[0] * mask) @ write + instead

    hooks = [
        site.get_submodule(ENTRY.get(kind, "mlp")).register_forward_pre_hook(lambda _m, a: seen.update(mlp_input=a[0])),
        site.get_submodule(DOWN.get(kind, "mlp.down_proj")).register_forward_hook(replace),
    ]
    with torch.no_grad():
        encoded = reranker.encode(pairs())
        scores = [
            reranker.model(input_ids=torch.tensor([t]), attention_mask=torch.ones(1, len(t), dtype=torch.long)).logits[
                0, 0
            ]
            for t in encoded
        ]
    for hook in hooks:
        hook.remove()
    return torch.stack(scores)


def same(got: Tensor, expected: Tensor) -> None:
    assert (got[0] - got[1]).abs().max() > 1e-3, "the ablation must matter, or equality proves nothing"
    assert (got - expected).abs().max() <= 1e-6 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("adapter", [True, False])
@pytest.mark.parametrize("model_type", PLAIN)
def test_zero_and_mean_ablations_equal_plain_forwards(model_type: str, adapter: bool, tmp_path: Path) -> None:
    spec = save_reranker(tmp_path, model_type, adapter).model_copy(update={"dtype": "float64"})
    reranker = load_reranker(spec)
    for layer in (0, 1, 2) if adapter else (1,):
        zero = ReplayEngine(reranker, pairs(), SiteSpec(layer))
        masks = masks_of(zero.n_players)
        nothing = [plain_scores(reranker, model_type, layer, m, lambda a, _x, w, _m: 0 * (a @ w)) for m in masks]
        same(zero.outputs(masks), torch.stack(nothing))
    mean = ReplayEngine(reranker, pairs(), SiteSpec(1, "mean"))
    assert mean.mean_activations.abs().max() > 1e-3
    instead = [
        plain_scores(
            reranker, model_type, 1, m, lambda a, _x, w, m: (torch.ones_like(a) * mean.mean_activations * m) @ w
        )
        for m in masks
    ]
    same(mean.outputs(masks), torch.stack(instead))


@pytest.mark.parametrize("model_type", PLAIN)
def test_intervention_base_reverts_to_the_weights_before_lora(model_type: str, tmp_path: Path) -> None:
    spec = save_reranker(tmp_path, model_type).model_copy(update={"dtype": "float64"})
    reranker, kind = load_reranker(spec), model_type.partition("-")[0]
    base = AutoModelForSequenceClassification.from_pretrained(spec.base, num_labels=1, dtype=torch.float64)
    before = layer_of(base, model_type, 1)

    def reverted(_a: Tensor, x: Tensor, _w: Tensor, mask: Tensor) -> Tensor:
        down = before.get_submodule(DOWN.get(kind, "mlp.down_proj"))
        if kind in INTO:
            own = INTO[kind](before, x)
        else:
            seen: dict[str, Tensor] = {}
            hook = down.register_forward_pre_hook(lambda _m, a: seen.update(own=a[0]))
            before.mlp(x)
            hook.remove()
            own = seen["own"]
        return (own * mask) @ (down.weight if kind == "gpt2" else down.weight.T)

    engine = ReplayEngine(reranker, pairs(), SiteSpec(1, "base"))
    masks = masks_of(engine.n_players)
    same(engine.outputs(masks), torch.stack([plain_scores(reranker, model_type, 1, m, reverted) for m in masks]))


@pytest.mark.parametrize("model_type", PLAIN)
def test_merged_checkpoint_equals_base_and_adapter(model_type: str, tmp_path: Path) -> None:
    spec = save_reranker(tmp_path, model_type)
    reranker = load_reranker(spec)
    reranker.model.save_pretrained(tmp_path / "merged")
    reranker.tokenizer.save_pretrained(tmp_path / "merged")
    merged = load_reranker(spec.model_copy(update={"base": str(tmp_path / "merged"), "adapter": None}))
    masks = masks_of(24)
    got, expected = (ReplayEngine(r, pairs(), SiteSpec(1)).outputs(masks) for r in (merged, reranker))
    assert (got - expected).abs().max() < 1e-6


@pytest.mark.parametrize("model_type", PLAIN)
def test_gradients_are_the_derivatives_of_the_ablation(model_type: str, tmp_path: Path) -> None:
    spec = save_reranker(tmp_path, model_type).model_copy(update={"dtype": "float64"})
    game = RerankerGame(load_reranker(spec), pairs(), SiteSpec(1))
    gradient = game.gradients(torch.zeros(game.n_players))
    alone = game.ablate(torch.eye(game.n_players, dtype=torch.bool)) - game.ablate(game.masks([[]]))
    assert torch.corrcoef(torch.stack([gradient.T.flatten().double(), alone.flatten().double()]))[0, 1] > 0.5


def expert_forward(reranker: Reranker, layer: int, silenced: dict[int, Tensor]) -> Tensor:
    """Scores with columns of experts' down projections set to zero."""
    experts = layer_of(reranker.model, "mixtral", layer).mlp.experts
    kept = experts.down_proj.detach().clone()
    with torch.no_grad():
        for expert, mask in silenced.items():
            experts.down_proj[expert][:, mask] = 0
        scores = [reranker.model(input_ids=torch.tensor([t])).logits[0, 0] for t in reranker.encode(pairs())]
        experts.down_proj.copy_(kept)
    return torch.stack(scores)


@pytest.mark.parametrize("adapter", [True, False])
@pytest.mark.parametrize("layer", [0, 2])
def test_neurons_of_one_expert_are_ablated_as_by_zeroing_weights(adapter: bool, layer: int, tmp_path: Path) -> None:
    spec = save_reranker(tmp_path, "mixtral", adapter).model_copy(update={"dtype": "float64"})
    reranker = load_reranker(spec)
    engine = ReplayEngine(reranker, pairs(), SiteSpec(layer, players="expert:1"))
    masks = masks_of(engine.n_players)
    same(engine.outputs(masks), torch.stack([expert_forward(reranker, layer, {1: m}) for m in masks]))


def test_experts_are_ablated_as_by_zeroing_weights(tmp_path: Path) -> None:
    reranker = load_reranker(save_reranker(tmp_path, "mixtral").model_copy(update={"dtype": "float64"}))
    game = RerankerGame(reranker, pairs(), SiteSpec(1, players="experts"))
    masks = game.masks([[], [0, 1, 2], [0], [1], [2], [0, 2]])
    every = torch.ones(24, dtype=torch.bool)
    expected = [expert_forward(reranker, 1, dict.fromkeys(m.nonzero()[:, 0].tolist(), every)) for m in masks]
    same(game.ablate(masks), torch.stack(expected))
    assert game.n_players == 3
    assert game.activations("mean").shape == (12, 3)
    assert Capability.WEIGHTS not in game.capabilities
    assert Capability.LENS not in game.capabilities


def test_unsuitable_players_are_refused(tmp_path: Path) -> None:
    mixture = load_reranker(save_reranker(tmp_path / "a", "mixtral"))
    with pytest.raises(
        ValueError, match="expected 'experts' or 'expert:0' to 'expert:2' for this reranker, got 'neurons'"
    ):
        ReplayEngine(mixture, pairs(), SiteSpec(0))
    with pytest.raises(ValueError, match="got 'expert:3'"):
        ReplayEngine(mixture, pairs(), SiteSpec(0, players="expert:3"))
    with pytest.raises(ValueError, match="expected 'neurons' for this reranker, got 'experts'"):
        ReplayEngine(load_reranker(save_reranker(tmp_path / "b")), pairs(), SiteSpec(0, players="experts"))


def test_closed_form_lens_is_offered_only_if_it_holds(tmp_path: Path) -> None:
    rows, offered = pairs(), set()
    for model_type in PLAIN:
        reranker = load_reranker(
            save_reranker(tmp_path / model_type, model_type).model_copy(update={"dtype": "float64"})
        )
        game = RerankerGame(reranker, rows, SiteSpec(1, readout="lens"))
        if Capability.LENS in game.capabilities:
            offered.add(model_type)
            mask = torch.arange(game.n_players) < 5
            torch.testing.assert_close(game.lens().scores(mask), game.ablate(mask[None])[0], rtol=1e-5, atol=1e-6)
    assert offered == {"llama", "mistral", "qwen2", "qwen3", "phi3", "gemma"}


def test_sizes_are_known_without_weights(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path, "gpt2")
    expected = sum(p.numel() for p in load_reranker(spec).model.parameters())
    (tmp_path / "base" / "model.safetensors").unlink()
    size = describe(spec)
    assert (size.model_type, size.layers, size.d_model, size.players) == ("gpt2", 3, 16, 24)
    assert size.parameters == expected
    assert size.bytes == 4 * expected


def test_every_row_of_the_table_is_tested() -> None:
    popular = {getattr(transformers, kind.model).config_class.model_type for kind in POPULAR.values()}
    assert {name.partition("-")[0] for name in CONFIGS} | popular == set(ARCHITECTURES)


def test_error_for_an_unknown_architecture_shows_the_row_to_add() -> None:
    from transformers import BloomConfig, BloomForSequenceClassification

    model = BloomForSequenceClassification(BloomConfig(vocab_size=40, hidden_size=8, n_layer=1, n_head=2))
    with pytest.raises(UnknownArchitectureError, match=r'"bloom": Architecture\(layers='):
        architecture_of(model)
