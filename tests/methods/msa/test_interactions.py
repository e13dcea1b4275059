"""Shapley interactions of pairs: exact ones, and estimates from sampled coalitions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.methods.msa import (
    Evidence,
    draw_pairs,
    exact_interactions,
    interactions,
)
from coterie.methods.msa.interactions import pair_interactions
from coterie.tasks.synthetic import SyntheticGame
from tests.methods.msa.games import Table, full, kept_in, random_table


def test_exact_interactions_treat_every_output_as_a_game() -> None:
    table = random_table(4, 3)
    found = exact_interactions(full(Table(table)))
    assert found.shape == (4, 4, 3)
    for output in range(3):  # each output is a separate game
        alone = exact_interactions(full(Table(table[:, [output]])))
        np.testing.assert_allclose(found[..., [output]], alone, atol=1e-12)
    pair = kept_in(4)[:, [1, 3]].all(axis=1)[:, None].astype(float)
    expected = np.zeros((4, 4, 1))
    expected[1, 3] = expected[3, 1] = 1
    np.testing.assert_allclose(exact_interactions(full(Table(pair))), expected, atol=1e-12)
    additive = kept_in(4) @ np.random.default_rng(0).normal(size=(4, 2))
    np.testing.assert_allclose(exact_interactions(full(Table(additive))), 0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 7), seed=st.integers(0, 10**6))
def test_the_closed_form_of_interactions_is_exact_without_noise(n: int, seed: int) -> None:
    """A posterior mean that goes through every coalition of any game, however rough, has that game's interactions."""
    evidence = full(Table(random_table(n, 1, seed)))
    truth, pairs = exact_interactions(evidence)[..., 0], evidence.pairs()
    signs = np.concatenate([np.empty((0, n)), *pairs.blocks()])
    even = (evidence.values(pairs.one) + evidence.values(pairs.other))[:, 0] / 2 - evidence.values([0, 1]).mean()
    scale = np.random.default_rng(seed).uniform(0.5, 1.5, n)
    np.testing.assert_allclose(
        interactions._posterior(signs, even, interactions._Prior(0, scale, 1e-12)), truth, atol=1e-5
    )
    np.testing.assert_allclose(pair_interactions(evidence), truth, atol=1e-6)


def test_interactions_of_a_smooth_game_are_estimated_from_few_coalitions() -> None:
    game, pairs = SyntheticGame(n_players=12), np.triu_indices(12, 1)
    truth = exact_interactions(full(game)).mean(axis=2)[pairs]
    evidence = Evidence(game, 300)
    draw_pairs(evidence, evidence.left, np.random.default_rng(0))
    found = pair_interactions(evidence)
    assert np.square(found[pairs] - truth).mean() < 0.05 * truth.var()
    np.testing.assert_array_equal(found, found.T)
    assert not found.diagonal().any()


def test_an_additive_game_has_no_interactions() -> None:
    table = kept_in(6) @ np.arange(1.0, 7.0)[:, None]
    assert np.abs(pair_interactions(full(Table(table)))).max() < 1e-6
