"""The estimators of Shapley modes against brute force and against the axioms, whatever was sampled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.methods.msa import (
    Estimate,
    Estimator,
    Evidence,
    estimate_modes,
    exact,
    from_orders,
    kriging,
    odd_regression,
    permutation_sampling,
    regression_adjusted,
)
from coterie.tasks.synthetic import SyntheticGame
from tests.methods.msa.games import ESTIMATORS, REGRESSIONS, Table, by_orders, full, games, kept_in, random_table


@pytest.mark.parametrize("n", [1, 2, 5])
def test_exact_modes_are_the_mean_over_all_orders(n: int) -> None:
    table = random_table(n, 3)
    np.testing.assert_allclose(exact(full(Table(table))).modes, by_orders(table), atol=1e-12)


@pytest.mark.parametrize("estimator", REGRESSIONS)
@pytest.mark.parametrize("n", [1, 2, 3, 6, 10, 12])
def test_regressions_are_exact_at_full_budget(n: int, estimator: Estimator) -> None:
    game = Table(random_table(n))
    evidence = Evidence(game, 2**n)
    found = estimate_modes(evidence, estimator, np.random.default_rng(0))
    assert evidence.complete
    assert sorted(game.evaluated) == list(range(2**n)), "each coalition once"
    np.testing.assert_allclose(found.modes, exact(evidence).modes, atol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_banzhaf_values_are_exact_at_full_budget(n: int) -> None:
    table = random_table(n)
    evidence, kept = full(Table(table)), kept_in(n)
    banzhaf = np.array([table[kept[:, i]].mean(axis=0) - table[~kept[:, i]].mean(axis=0) for i in range(n)])
    np.testing.assert_allclose(exact(evidence, "banzhaf").modes, banzhaf, atol=1e-12)
    np.testing.assert_allclose(odd_regression(evidence, "banzhaf").modes, banzhaf, atol=1e-8)


def test_sampled_estimators_are_unbiased_and_their_errors_are_honest() -> None:
    table = random_table(6, 4)
    truth = by_orders(table)
    bias = {
        "antithetic": 0.0,
        "permutation": 0.0,
        "msr": 0.5,
    }  # relative to the spread; msr draws 20 of the 31 pairs, none twice
    for estimator, allowed in bias.items():
        found = [estimate_modes(Evidence(Table(table), 40), estimator, np.random.default_rng(s)) for s in range(60)]
        modes, errors = np.array([f.modes for f in found]), np.array([f.errors for f in found])
        spread = modes.std(axis=0, ddof=1)
        assert np.abs(modes.mean(axis=0) - truth).max() < (4.5 / np.sqrt(len(found)) + allowed) * spread.max()
        assert 0.7 < np.sqrt(np.square(errors).mean() / np.square(spread).mean()) < 1.5


@pytest.mark.parametrize("estimator", ESTIMATORS)
@settings(max_examples=10)
@given(games, st.integers(0, 100), st.integers(0, 10**6))
def test_modes_always_sum_to_the_total(estimator: Estimator, table: np.ndarray, extra: int, seed: int) -> None:
    n = len(table).bit_length() - 1
    evidence = Evidence(Table(table), 2 + 2 * n + extra)
    found = estimate_modes(evidence, estimator, np.random.default_rng(seed))
    np.testing.assert_allclose(found.modes.sum(axis=0), table[-1] - table[0], atol=1e-9)
    assert len(evidence) <= 2 + 2 * n + extra


@pytest.mark.parametrize("estimator", REGRESSIONS)
@settings(max_examples=8)
@given(games, st.integers(0, 10**6), st.floats(-3, 3))
def test_modes_at_full_budget_are_linear_and_respect_symmetry_and_dummies(
    estimator: Estimator, table: np.ndarray, seed: int, factor: float
) -> None:
    n, rng = len(table).bit_length() - 1, np.random.default_rng(seed)

    def modes(values: np.ndarray) -> np.ndarray:
        return estimate_modes(Evidence(Table(values)), estimator, np.random.default_rng(0)).modes

    other = rng.normal(size=table.shape)
    np.testing.assert_allclose(modes(factor * table + other), factor * modes(table) + modes(other), atol=1e-6)
    with_dummy = np.concatenate([table, table + 0.7])  # player n adds 0.7 to everything
    np.testing.assert_allclose(
        modes(with_dummy), np.vstack([modes(table), np.full((1, table.shape[1]), 0.7)]), atol=1e-6
    )
    names = rng.permutation(n)
    moved = table[kept_in(n)[:, names] @ (1 << np.arange(n))]  # player names[i] of the new game is player i of the old
    np.testing.assert_allclose(modes(moved)[names], modes(table), atol=1e-6)


def test_player_0_and_seed_0_are_not_special() -> None:
    table = np.zeros((8, 1))
    table[1::2] = 1.0  # only player 0 matters
    for estimator in ESTIMATORS:
        found = estimate_modes(Evidence(Table(table), 8), estimator, np.random.default_rng(0))
        np.testing.assert_allclose(found.modes[:, 0], [1, 0, 0], atol=1e-9)
    game = SyntheticGame()
    one, two = (permutation_sampling(Evidence(game), np.random.default_rng(0), most=2).modes for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_additive_game_is_recognised_and_estimated_exactly(estimator: Estimator) -> None:
    weights = np.random.default_rng(0).normal(size=(8, 2))
    evidence = Evidence(Table(1.5 + kept_in(8) @ weights), 60)
    found = estimate_modes(evidence, estimator, np.random.default_rng(0))
    np.testing.assert_allclose(found.modes, weights, atol=1e-6)
    assert found.notes(evidence)["additive"] is True
    if estimator == "antithetic":
        assert len(evidence) == 2 + 2 * 7, "stops after one sample"
    single = from_orders(Evidence(Table(1.5 + kept_in(8) @ weights)), [np.arange(8)])
    np.testing.assert_allclose(single.modes, weights, atol=1e-12)


def test_a_game_with_interactions_is_not_reported_as_additive() -> None:
    for estimator in ESTIMATORS:
        evidence = Evidence(SyntheticGame(n_players=10), 60)
        assert estimate_modes(evidence, estimator, np.random.default_rng(0)).notes(evidence)["additive"] is False


def test_kriging_beats_permutations_at_three_evaluations_per_player() -> None:
    game = SyntheticGame(n_players=60, n_outputs=8, d_model=8)
    truth = permutation_sampling(Evidence(game), np.random.default_rng(9), most=150).modes

    def error(estimator: Estimator) -> float:
        found = [estimate_modes(Evidence(game, 180), estimator, np.random.default_rng(seed)) for seed in range(2)]
        return float(np.mean([np.square(f.modes - truth).mean() for f in found]) / truth.var(axis=0).mean())

    errors = {estimator: error(estimator) for estimator in ESTIMATORS}
    assert errors["kriging"] < 0.5 * min(errors[other] for other in ESTIMATORS if other != "kriging"), errors
    found = estimate_modes(Evidence(game, 180), "kriging", np.random.default_rng(0))
    assert found.errors is not None
    assert 0.3 < np.square(found.modes - truth).mean() / np.square(found.errors).mean() < 3


@pytest.mark.parametrize("read", [odd_regression, kriging, lambda e: regression_adjusted(e, np.random.default_rng(0))])
def test_regressions_use_coalitions_that_permutations_evaluated(read: Callable[[Evidence], Estimate]) -> None:
    evidence = full(Table(random_table(6)))
    partial = Evidence(evidence.game)
    permutation_sampling(partial, np.random.default_rng(0), most=3)
    paid = len(partial)
    found = read(partial)
    assert len(partial) == paid
    np.testing.assert_allclose(found.modes.sum(axis=0), partial.total, atol=1e-9)
