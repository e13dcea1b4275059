"""Gradients, Hessian products and the lens of a game equal finite differences and brute-force ablation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import BudgetExceededError, CapabilityError
from coterie.tasks.game import Capability
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from coterie.tasks.synthetic import SyntheticGame
from tests.tasks.tiny import pairs, save_reranker


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Reranker:
    spec = save_reranker(tmp_path_factory.mktemp("tiny"))
    return load_reranker(spec.model_copy(update={"dtype": "float64"}))


def partly_ablated(game: RerankerGame, amounts: Tensor) -> Tensor:
    """Outputs with each player ablated to its amount, by scaling its rows of z in the engine."""
    prefix = game._engine._prefix
    scale = amounts.repeat(len(prefix.site.w) // game.n_players)
    plain = prefix.batches.copy()
    prefix.batches[:] = [replace(batch, z=batch.z * scale[:, None], low_rank=None) for batch in plain]
    outputs = game._engine.outputs(torch.ones(1, game.n_players, dtype=torch.bool))[0]
    prefix.batches[:] = plain
    return outputs


CASES = [
    (0, "score", "zero"),
    (1, "score", "base"),
    (1, "score", "mean"),
    (2, "score", "zero"),
    (1, "lens", "base"),
    (0, "lens", "mean"),
]


@pytest.mark.parametrize(("layer", "readout", "intervention"), CASES)
def test_derivatives_are_the_limits_of_differences(
    reranker: Reranker, layer: int, readout: str, intervention: str
) -> None:
    game = RerankerGame(reranker, pairs(), SiteSpec(layer, intervention, readout), tokens_at_once=256)
    n, step = game.n_players, 1e-5
    middle = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for at in (torch.zeros(n, dtype=torch.float64), middle):
        expected = torch.stack(
            [
                (partly_ablated(game, at + step * e) - partly_ablated(game, at - step * e)) / (2 * step)
                for e in torch.eye(n, dtype=torch.float64)
            ],
            dim=1,
        )
        got = game.gradients(None if at is not middle else middle)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-6)
    gradient = {sign: game.gradients(sign * 1e-3 * middle).double().mean(0) for sign in (-1, 1)}
    product = game.hessian_products(torch.stack([middle, torch.zeros(n, dtype=torch.float64)]))
    difference = (gradient[1] - gradient[-1]) / 2e-3
    assert difference.abs().max() > 1e-4, "without curvature, equality would prove nothing"
    torch.testing.assert_close(product[0].double(), difference, rtol=1e-3, atol=float(difference.abs().max()) * 1e-3)
    assert not product[1].any()


def test_splitting_batches_changes_no_derivative(reranker: Reranker) -> None:
    small, large = (RerankerGame(reranker, pairs(), SiteSpec(0), tokens_at_once=tokens) for tokens in (32, 10**6))
    direction = torch.ones(1, small.n_players)
    torch.testing.assert_close(small.gradients(), large.gradients())
    torch.testing.assert_close(small.hessian_products(direction), large.hessian_products(direction))


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("intervention", ["zero", "mean", "base"])
def test_lens_equals_the_lens_readout_of_any_set(reranker: Reranker, layer: int, intervention: str) -> None:
    rows = pairs()
    score = RerankerGame(reranker, rows, SiteSpec(layer, intervention, "score"))
    readout = RerankerGame(
        reranker, rows, SiteSpec(layer, intervention, "lens", mean_activations=score.mean_activations)
    )
    masks = torch.rand(6, score.n_players, generator=torch.Generator().manual_seed(1)) < 0.4
    for game in (score, readout):
        lens = game.lens()
        found = torch.stack([lens.scores(mask) for mask in masks])
        torch.testing.assert_close(found, readout.ablate(masks), rtol=1e-5, atol=1e-6)  # norms compute in float32


def test_layer_norm_has_no_lens(tmp_path: Path) -> None:
    reranker = load_reranker(save_reranker(tmp_path))
    reranker.model.model.norm = torch.nn.LayerNorm(16)
    game = RerankerGame(reranker, pairs(), SiteSpec(1))
    assert game.capabilities == frozenset(Capability) - {Capability.LENS}
    with pytest.raises(CapabilityError, match="not 'lens'"):
        game.lens()


def test_derivatives_of_the_synthetic_game_agree_with_its_ablations() -> None:
    game = SyntheticGame(n_players=5)
    lines = [torch.linspace(0, 1, 101)[:, None] * e for e in torch.eye(5)]  # from nothing ablated to one player
    along = torch.stack([torch.stack([game.gradients(a)[:, i] for a in line]) for i, line in enumerate(lines)])
    effects = game.ablate(game.masks([[0], [1], [2], [3], [4]])) - game.ablate(game.masks([[]]))
    torch.testing.assert_close(torch.trapezoid(along, dx=0.01, dim=1), effects, rtol=1e-2, atol=1e-3)
    assert game.lens().scores(torch.ones(5, dtype=torch.bool)).abs().max() < 1e-3


def test_derivatives_and_lens_are_metered_and_restricted() -> None:
    game = SyntheticGame(n_players=4).restricted_to({Capability.GRADIENTS, Capability.LENS}, budget=11)
    game.gradients()
    game.hessian_products(torch.eye(4)[:2])
    game.lens()
    assert game.meter.counts == {"gradients": 10, "lens": 1}
    with pytest.raises(BudgetExceededError, match="budget: 11 evaluations, 11 used, 2 more of 'gradients'"):
        game.gradients()
    blind = SyntheticGame(n_players=4).restricted_to({Capability.WEIGHTS}, budget=None)
    for ask in (blind.gradients, blind.lens, lambda: blind.hessian_products(torch.eye(4))):
        with pytest.raises(CapabilityError, match="fix: add Capability"):
            ask()
    with pytest.raises(ValueError, match=r"amounts: expected shape \(4,\), got \(3,\); fix"):
        game.gradients(torch.zeros(3))
    with pytest.raises(ValueError, match=r"directions: expected shape \(m, 4\), got \(2, 3\); fix"):
        game.hessian_products(torch.zeros(2, 3))
