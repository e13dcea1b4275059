"""Ablations in the stand-ins of popular rerankers equal plain forwards with hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor

from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import RerankerError
from coterie.tasks.game import Capability
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.size import describe
from coterie.tasks.rerankers.spec import RerankerSpec
from tests.tasks.rerankers.popular import POPULAR
from tests.tasks.rerankers.references import Reference, long_pairs, raw
from tests.tasks.tiny import edit_json, masks_of, pairs

SITES = {  # independent of the table: path of a layer, and of its down projection
    "Bert": ("bert.encoder.layer.{}", "output.dense"),
    "Electra": ("electra.encoder.layer.{}", "output.dense"),
    "XLMRoberta": ("roberta.encoder.layer.{}", "output.dense"),
    "Roberta": ("roberta.encoder.layer.{}", "output.dense"),
    "DistilBert": ("distilbert.transformer.layer.{}", "ffn.lin2"),
    "DebertaV2": ("deberta.encoder.layer.{}", "output.dense"),
    "ModernBert": ("model.layers.{}", "mlp.Wo"),
    "Qwen3": ("model.layers.{}", "mlp.down_proj"),
    "Qwen2": ("model.layers.{}", "mlp.down_proj"),
    "Gemma": ("model.layers.{}", "mlp.down_proj"),
    "Gemma2": ("model.layers.{}", "mlp.down_proj"),
    "Llama": ("model.layers.{}", "mlp.down_proj"),
}
T5_SITES = [f"encoder.block.{i}.layer.1.DenseReluDense.wo" for i in range(3)] + [
    f"decoder.block.{i}.layer.2.DenseReluDense.wo" for i in range(2)
]


@contextmanager
def ablated(model: Any, path: str, mask: Tensor, mean: Tensor | None) -> Iterator[None]:
    """Replace the inputs of a down projection."""

    def replace(_module: object, given: tuple[Tensor]) -> tuple[Tensor]:
        instead = torch.zeros_like(given[0]) if mean is None else mean.expand_as(given[0])
        return (torch.where(mask, instead, given[0]),)

    hook = model.get_submodule(path).register_forward_pre_hook(replace)
    try:
        yield
    finally:
        hook.remove()


def site_of(name: str, layer: int) -> str:
    family = POPULAR[name].model.partition("For")[0]
    if family == "T5":
        return T5_SITES[layer]
    layers, down = SITES[family]
    return f"{layers.format(layer)}.{down}"


@pytest.mark.parametrize("intervention", ["zero", "mean"])
@pytest.mark.parametrize("name", POPULAR)
def test_ablations_equal_those_with_plain_hooks(
    name: str, intervention: Any, made: Callable[[str], RerankerSpec]
) -> None:
    spec, rows = made(name).model_copy(update={"dtype": "float64"}), long_pairs()
    reranker = load_reranker(spec)
    plain = Reference(name, spec, rows, "float64")
    for layer in range(len(reranker.layers)):
        engine = ReplayEngine(reranker, rows, SiteSpec(layer, intervention))
        mean = None if intervention == "zero" else engine.mean_activations
        masks = masks_of(engine.n_players, 5)
        expected = []
        for mask in masks:
            with ablated(plain.model, site_of(name, layer), mask, mean):
                expected.append(plain.scores())
        got, wanted = engine.outputs(masks), torch.stack(expected)
        assert (got[0] - got[1]).abs().max() > 1e-3, "the ablation must matter, or equality proves nothing"
        assert (got - wanted).abs().max() <= 1e-6 * max(1.0, float(wanted.abs().max()))


LORA = {  # modules with LoRA; by default those of the Llama family
    **{f: ["intermediate.dense", "output.dense"] for f in ("Bert", "Electra", "XLMRoberta", "Roberta", "DebertaV2")},
    "DistilBert": ["lin1", "lin2"],
    "ModernBert": ["mlp.Wi", "mlp.Wo"],
    "T5": ["wi", "wi_0", "wi_1", "wo"],
}


TASK_TYPES = {"Seq": "SEQ_CLS", "Cau": "CAUSAL_LM", "Con": "SEQ_2_SEQ_LM"}


def with_adapter(name: str, spec: RerankerSpec, folder: Path) -> RerankerSpec:
    """The stand-in with a random LoRA adapter (and head, for a classifier) next to it."""
    kind = POPULAR[name].model
    family, _, head = kind.partition("For")
    model, _ = raw(spec, name)
    names = {n.rsplit(".", 1)[-1] for n, _ in model.named_modules()}
    targets = LORA.get(family, ["gate_proj", "up_proj", "down_proj"])
    tuned = get_peft_model(
        model,
        LoraConfig(
            task_type=TASK_TYPES[head[:3]], r=2, target_modules=[t for t in targets if t.rsplit(".", 1)[-1] in names]
        ),
    )
    torch.manual_seed(3)
    for parameter_name, parameter in tuned.named_parameters():
        if "lora_B" in parameter_name or "modules_to_save" in parameter_name:
            parameter.data.normal_(0, 0.3)
    tuned.save_pretrained(folder / "adapter")
    return spec.model_copy(update={"adapter": str(folder / "adapter"), "dtype": "float64"})


def mlp_of(path: str) -> tuple[str, bool]:
    """The module that computes the activations, by the path of the down projection, and whether it ends before that."""
    if path.endswith("output.dense"):
        return path.replace("output.dense", "intermediate"), True
    return path.rpartition(".")[0], False


@contextmanager
def reverted(model: Any, base: Any, path: str, mask: Tensor) -> Iterator[None]:
    """Revert the masked neurons to those before LoRA."""
    mlp_path, ends_before = mlp_of(path)
    mlp, down, before = model.get_submodule(mlp_path), model.get_submodule(path), base.get_submodule(path)
    seen: dict[str, Tensor] = {}

    def replace(_module: object, given: tuple[Tensor], output: Tensor) -> Tensor:
        if ends_before:
            own = base.get_submodule(mlp_path)(seen["x"])
        else:
            hook = before.register_forward_pre_hook(lambda _m, a: seen.update(own=a[0]))
            base.get_submodule(mlp_path)(seen["x"])
            hook.remove()
            own = seen["own"]
        return output - (given[0] * mask) @ down.weight.T + (own * mask) @ before.weight.T

    hooks = [mlp.register_forward_pre_hook(lambda _m, a: seen.update(x=a[0])), down.register_forward_hook(replace)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("name", POPULAR)
def test_reverting_neurons_equals_reverting_them_with_plain_hooks(
    name: str, made: Callable[[str], RerankerSpec], tmp_path: Path
) -> None:
    spec, rows = with_adapter(name, made(name), tmp_path), long_pairs()
    reranker = load_reranker(spec)
    base, _ = raw(spec, name, "float64")
    plain = Reference(name, spec, rows, "float64")
    plain.model = PeftModel.from_pretrained(plain.model, str(spec.adapter)).merge_and_unload()
    for layer in range(len(reranker.layers)):
        engine = ReplayEngine(reranker, rows, SiteSpec(layer, "base"))
        masks = masks_of(engine.n_players, 5)
        expected = []
        for mask in masks:
            with reverted(plain.model, base, site_of(name, layer), mask):
                expected.append(plain.scores())
        got, wanted = engine.outputs(masks), torch.stack(expected)
        assert (got[0] - got[1]).abs().max() > 1e-4, "the reversion must matter, or equality proves nothing"
        assert (got - wanted).abs().max() <= 1e-6 * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("name", ["t5-v1.1", "gte-reranker-modernbert", "bge-reranker-v2-gemma", "nli-deberta-v3"])
def test_hessian_products_equal_central_differences_of_gradients(
    name: str, made: Callable[[str], RerankerSpec]
) -> None:
    reranker = load_reranker(made(name).model_copy(update={"dtype": "float64"}))
    for layer in (0, len(reranker.layers) - 1):
        game = RerankerGame(reranker, pairs(2), SiteSpec(layer))
        gradient = game.gradients().double()
        step, direction = 1e-4, torch.zeros(game.n_players)
        direction[::2] = 1.0
        ahead, behind = (game.gradients(sign * step * direction).double() for sign in (1, -1))
        product = game.hessian_products(direction[None])[0].double()
        assert (product - ((ahead - behind) / (2 * step)).mean(0)).abs().max() < 2e-3 * max(
            1.0, float(product.abs().max())
        )
        small = torch.full((game.n_players,), 0.05)
        moved = game.gradients(small).double()
        assert (moved - gradient).abs().max() > 0, "the amounts must matter"


def test_lens_of_a_language_model_equals_its_closed_form(made: Callable[[str], RerankerSpec]) -> None:
    offered = set()
    for name in ("qwen3-reranker", "mxbai-rerank-v2", "bge-reranker-v2-gemma", "gemma2-softcapped", "monot5"):
        reranker = load_reranker(made(name).model_copy(update={"dtype": "float64"}))
        game = RerankerGame(reranker, pairs(2), SiteSpec(len(reranker.layers) - 2, readout="lens"))
        if Capability.LENS in game.capabilities:
            offered.add(name)
            mask = torch.arange(game.n_players) < 5
            torch.testing.assert_close(game.lens().scores(mask), game.ablate(mask[None])[0], rtol=1e-5, atol=1e-6)
    assert offered == {"qwen3-reranker", "mxbai-rerank-v2", "bge-reranker-v2-gemma", "monot5"}


def test_decoder_layers_are_numbered_after_the_encoder(made: Callable[[str], RerankerSpec]) -> None:
    spec = made("monot5")
    size = describe(spec)
    assert (size.layers, size.encoder_layers) == (5, 3)
    reranker = load_reranker(spec)
    in_decoder = RerankerGame(reranker, pairs(2), SiteSpec(4))
    assert in_decoder.token_ids() == [[0]] * in_decoder.n_outputs
    assert in_decoder.activations("tokens").shape == (in_decoder.n_outputs, in_decoder.n_players)
    in_encoder = RerankerGame(reranker, pairs(2), SiteSpec(2))
    assert [len(ids) for ids in in_encoder.token_ids()] == [len(ids) for ids in reranker.encode(pairs(2))]
    with pytest.raises(RerankerError, match="expected 'score' at a layer of the encoder, got 'lens'"):
        RerankerGame(reranker, pairs(2), SiteSpec(1, readout="lens"))


@pytest.mark.parametrize("name", ["qwen3-reranker", "mxbai-rerank-v2", "bge-reranker-v2-gemma"])
def test_bidirectional_decoder_masks_padding(name: str, tmp_path: Path) -> None:
    spec = POPULAR[name].save(tmp_path)
    edit_json(tmp_path / "config.json", is_causal=False, use_bidirectional_attention=True)
    spec, rows = spec.model_copy(update={"dtype": "float64"}), long_pairs()
    reranker = load_reranker(spec)
    assert (reranker.score(rows) - Reference(name, spec, rows, "float64").scores()).abs().max() < 1e-6
    engine = ReplayEngine(reranker, rows, SiteSpec(1))
    one_by_one = [ReplayEngine(reranker, [row], SiteSpec(1)).outputs(masks_of(engine.n_players, 5)) for row in rows]
    assert (engine.outputs(masks_of(engine.n_players, 5)) - torch.cat(one_by_one, 1)).abs().max() < 1e-6


def test_layer_before_a_convolution_is_refused(tmp_path: Path) -> None:
    kind = replace(POPULAR["mxbai-rerank-v1"], config={**POPULAR["mxbai-rerank-v1"].config, "conv_kernel_size": 3})
    for dtype in ("float64", "bfloat16"):
        reranker = load_reranker(kind.save(tmp_path / dtype).model_copy(update={"dtype": dtype}))
        with pytest.raises(RerankerError, match=r"expected a layer that is directly followed by the next, got 0"):
            ReplayEngine(reranker, pairs(), SiteSpec(0))
        ReplayEngine(reranker, pairs(), SiteSpec(1))
