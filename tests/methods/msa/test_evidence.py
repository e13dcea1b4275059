"""The store of evidence: it evaluates each coalition once, within the budget."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.methods.msa import (
    Estimator,
    Evidence,
    draw_pairs,
    estimate_modes,
    from_orders,
)
from coterie.tasks.errors import BudgetExceededError
from coterie.tasks.game import Capability
from coterie.tasks.synthetic import SyntheticGame
from tests.methods.msa.games import ESTIMATORS, REGRESSIONS, Table, random_table


@settings(max_examples=20)
@given(st.integers(1, 20), st.lists(st.integers(0, 30), max_size=12), st.integers(0, 10**6))
def test_the_store_returns_coalitions_and_values_and_evaluates_each_once(n: int, picks: list[int], seed: int) -> None:
    game = SyntheticGame(n_players=n)
    pool = np.random.default_rng(seed).random((31, n)) < 0.5
    evidence = Evidence(game)
    for part in (picks, picks, picks[::-1]):
        kept = pool[part]
        rows = evidence.evaluate(kept)
        np.testing.assert_array_equal(evidence.kept(rows), kept)
        np.testing.assert_allclose(evidence.values(rows), game._ablate(torch.from_numpy(~kept)).numpy(), atol=1e-6)
    distinct = {row.tobytes() for row in pool[picks]} | {bytes(n), bytes([1] * n)}
    assert game.meter.total == len(evidence) == len(distinct)


def test_repeated_coalitions_are_counted_once() -> None:
    game = Table(random_table(3))
    evidence = Evidence(game)
    from_orders(evidence, [np.array([0, 1, 2]), np.array([0, 1, 2]), np.array([1, 0, 2])])
    assert len(game.evaluated) == len(set(game.evaluated)) == game.meter.total == 2 + 2 + 1


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("budget", [48, 49, 100, 101])
def test_the_budget_is_never_exceeded_and_nearly_all_spent(estimator: Estimator, budget: int) -> None:
    game = SyntheticGame().restricted_to({Capability.ABLATIONS}, budget)
    found = estimate_modes(Evidence(game, budget), estimator, np.random.default_rng(0))
    assert found.evaluations == game.meter.total <= budget
    assert found.evaluations >= (budget - 1 if estimator in REGRESSIONS else budget / 2 - 2)


def test_a_budget_that_is_too_small_is_refused_before_any_work() -> None:
    game = Table(random_table(5))
    with pytest.raises(BudgetExceededError, match="budget: 1 evaluations left, 2 more coalitions requested; fix"):
        Evidence(game, 1)
    with pytest.raises(BudgetExceededError, match="budget: 1 evaluations left"):
        Evidence(game.restricted_to({Capability.ABLATIONS}, 1))
    with pytest.raises(ValueError, match="expected a number of evaluations for 24 players, got none; fix"):
        estimate_modes(Evidence(SyntheticGame()), "kriging", np.random.default_rng(0))
    assert not game.evaluated


def test_outputs_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="expected finite numbers, got nan; fix"):
        Evidence(Table(np.full((4, 1), np.nan)))


def test_drawn_pairs_are_complements_and_distinct() -> None:
    evidence = Evidence(SyntheticGame(n_players=9), 200)
    assert draw_pairs(evidence, 150, np.random.default_rng(0)) == 150
    pairs = evidence.pairs()
    assert len(pairs) == 75
    np.testing.assert_array_equal(evidence.kept(pairs.one), ~evidence.kept(pairs.other))
    assert (np.minimum(pairs.sizes(), 9 - pairs.sizes()) == 1).sum() == 9, "every player alone"


def test_drawing_continues_after_a_size_is_exhausted() -> None:
    evidence = Evidence(SyntheticGame(n_players=40), 200)
    for budget in range(90, 200, 2):  # one pair at a time: many draws hit a size or a pair that is in the store
        assert draw_pairs(evidence, 2, np.random.default_rng(0)) == 2, budget
