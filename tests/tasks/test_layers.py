"""Read vectors of every architecture, and several layers of one reranker."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import RerankerError
from coterie.tasks.layers import open_layers
from coterie.tasks.reranker_task import RerankerTaskPlan
from coterie.tasks.rerankers.architectures import architecture_of
from coterie.tasks.rerankers.inputs import TaskInputs
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from coterie.tasks.rerankers.site import Site
from coterie.tasks.task_spec import RerankerTaskSpec
from tests.tasks.rerankers.test_architectures import DOWN, INTO, PLAIN, layer_of
from tests.tasks.tiny import pairs, save_reranker

GATED = {"llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gemma3_text", "modernbert"}


def activations(reranker: Reranker, model_type: str, mlp_input: Tensor) -> Tensor:
    """The input of the down projection of layer 1, computed by the model's own modules."""
    kind, layer, seen = model_type.partition("-")[0], layer_of(reranker.model, model_type, 1), {}
    if kind in INTO:
        return INTO[kind](layer, mlp_input)
    hook = layer.get_submodule(DOWN.get(kind, "mlp.down_proj")).register_forward_pre_hook(
        lambda _m, a: seen.update(own=a[0])
    )
    layer.mlp(mlp_input)
    hook.remove()
    return seen["own"]


@pytest.mark.parametrize("model_type", PLAIN)
def test_neuron_responds_only_to_inputs_along_its_read_vectors(model_type: str, tmp_path: Path) -> None:
    reranker = load_reranker(save_reranker(tmp_path, model_type).model_copy(update={"dtype": "float64"}))
    reads = Site(architecture_of(reranker.model), layer_of(reranker.model, model_type, 1)).read_vectors()
    assert reads.shape == (2 if model_type in GATED else 1, 24, 16)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 16, generator=generator, dtype=torch.float64)
    before = activations(reranker, model_type, x)[0, 0]
    for q in (0, 7, 23):
        step = torch.randn(16, generator=generator, dtype=torch.float64)
        basis, _ = torch.linalg.qr(reads[:, q].T)
        across = step - basis @ (basis.T @ step)
        after = activations(reranker, model_type, x + across)[0, 0]
        assert abs(float(after[q] - before[q])) < 1e-12
        assert (after - before).abs().max() > 1e-3, "other neurons must respond"
        for part in reads[:, q]:
            changes = [float(activations(reranker, model_type, x + t * part)[0, 0, q] - before[q]) for t in (-20, 20)]
            assert max(map(abs, changes)) > 1e-3


def test_read_vectors_include_lora(tmp_path: Path) -> None:
    spec = save_reranker(tmp_path)
    tuned, base = load_reranker(spec), load_reranker(spec.model_copy(update={"adapter": None}), new_head=True)
    vectors = [Site(architecture_of(r.model), layer_of(r.model, "llama", 1)).read_vectors() for r in (tuned, base)]
    assert (vectors[0] - vectors[1]).abs().max() > 0.01
    own = layer_of(tuned.model, "llama", 1).mlp
    torch.testing.assert_close(vectors[0], torch.stack([own.gate_proj.weight, own.up_proj.weight]).detach())


def plan(reranker: object, layer: int, **changes: object) -> RerankerTaskPlan:
    source = {"collection": "pydoc", "domain": "deep-learning"}
    spec = RerankerTaskSpec.model_validate(
        {"name": "a/b", "summary": "", "reranker": reranker, "layer": layer, "data": {"source": source}, **changes}
    )
    return RerankerTaskPlan(spec, {"discovery": pairs()}, {}, {}, "", "", TaskInputs("", {}))


@pytest.mark.parametrize("intervention", ["zero", "base"])
def test_opened_layers_equal_those_of_single_tasks(intervention: str, tmp_path: Path) -> None:
    from coterie.tasks.reranker_game import RerankerGame

    spec = save_reranker(tmp_path)
    opened = list(open_layers([plan(spec, layer, intervention=intervention) for layer in (0, 1, 2)]))
    reranker = load_reranker(spec)
    for one in opened:
        game = RerankerGame(reranker, pairs(), SiteSpec(one.layer, intervention))  # type: ignore[arg-type]
        mask = torch.arange(game.n_players)[None] < 5
        torch.testing.assert_close(one.game.ablate(mask), game.ablate(mask))
        torch.testing.assert_close(one.writes, game.write_vectors())
        torch.testing.assert_close(one.activity, game.activations().abs().mean(0))
        assert one.activity.min() >= 0
    assert [one.layer for one in opened] == [0, 1, 2]


def test_missing_layers_and_mixtures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RerankerError, match="layers: expected 0 to 2, got 3"):
        next(open_layers([plan(save_reranker(tmp_path / "a"), layer) for layer in (2, 3)]))
    mixture = save_reranker(tmp_path / "b", "mixtral")
    with pytest.raises(RerankerError, match="expected plain MLPs, got a mixture of experts"):
        next(open_layers([plan(mixture, 1, players="expert:0")]))
