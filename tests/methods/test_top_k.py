"""Rankings by one score per player, against scores computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coterie.methods.kmeans_activations import KMeansActivations
from coterie.methods.top_activation import TopActivation
from coterie.methods.top_gradient import TopGradient
from coterie.methods.top_integrated_gradients import TopIntegratedGradients
from coterie.tasks.planted.game import PlantedGame, Planting
from coterie.tasks.synthetic import SyntheticGame

RNG = np.random.default_rng(0)


def test_the_most_active_neurons_come_first_regardless_of_sign() -> None:
    activations = torch.tensor([[1.0, -8.0, 0.0, 3.0, 2.5], [1.0, 8.0, 0.0, -3.0, 0.0]])
    game = SyntheticGame(5, n_outputs=2, activations=activations)
    assert TopActivation(size=2).discover(game, 1, RNG).groups == ((1, 3), (0, 4))
    found = TopActivation(size=3).discover(game, 1, RNG)
    assert found.groups == ((1, 3, 4),)
    assert found.notes["left_out"] == 2  # a dead neuron, and the remainder
    assert TopActivation(size=9).discover(game, 1, RNG).groups == ((0, 1, 3, 4),)
    assert TopActivation(size=1, n_coalitions=2).discover(game, 1, RNG).groups == ((1,), (3,))
    with pytest.raises(
        ValueError, match="top-activation: expected a player with a score other than 0, got none among 5"
    ):
        TopActivation().discover(SyntheticGame(5, activations=torch.zeros(2, 5)), 1, RNG)


def test_gradients_are_first_order_effects() -> None:
    """Compare with a small ablation by hand: outputs with neurons turned down a little."""
    game, step = SyntheticGame(10), 1e-3
    turned_down = game._hidden[None] * (1 - step * torch.eye(10)[:, None])
    outputs = torch.tanh(turned_down @ game._out) @ game._head
    effects = ((game.ablate(game.masks([()])) - outputs) / step).mean(1)
    np.testing.assert_allclose(TopGradient().scores(game), effects.abs(), atol=2e-3)
    assert game.meter.counts["gradients"] == 2


def test_integrated_gradients_are_complete_and_reveal_what_one_gradient_misses() -> None:
    """In a planted game all effects are positive, so scores sum to f(all), and a member's score is its Shapley value."""
    game = PlantedGame(Planting(sizes=(3, 4), additive=2))
    scores = TopIntegratedGradients(steps=20).scores(game)
    outputs = game.ablate(game.masks([(), tuple(range(9))]))
    assert scores.sum() == pytest.approx(float((outputs[0] - outputs[1]).mean()), abs=1e-5)
    own = TopGradient().scores(game)
    np.testing.assert_allclose(own, game._own, atol=1e-6)
    np.testing.assert_allclose((scores - own)[list(game.truth[0])], 1 / 3, atol=1e-5)
    np.testing.assert_allclose((scores - own)[list(game.truth[1])], 1 / 4, atol=1e-5)


def test_kmeans_groups_neurons_that_fire_together_regardless_of_scale_and_offset() -> None:
    rng = np.random.default_rng(0)
    waves = np.repeat(rng.normal(size=(40, 3)), 4, axis=1) + 0.05 * rng.normal(size=(40, 12))
    waves = waves * rng.uniform(0.1, 30, 12) + rng.normal(size=12) * 10
    waves[:, 5] = 7.0
    game = SyntheticGame(12, n_outputs=40, activations=torch.from_numpy(waves).float())
    found = KMeansActivations(n_clusters=3).discover(game, 1, rng)
    assert set(found.groups) == {(0, 1, 2, 3), (4, 6, 7), (8, 9, 10, 11)}
    assert found.notes["constant_units"] == 1
