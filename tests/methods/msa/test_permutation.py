"""Permutation sampling: orders, both directions, early stopping and truncation."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from coterie.methods.msa import (
    Evidence,
    from_orders,
    permutation_sampling,
)
from coterie.tasks.synthetic import SyntheticGame
from tests.methods.msa.games import Table, by_orders, kept_in, random_table


@pytest.mark.parametrize("n", [2, 4])
def test_all_permutations_are_exact(n: int) -> None:
    table = random_table(n)
    found = from_orders(Evidence(Table(table)), [np.array(order) for order in permutations(range(n))])
    np.testing.assert_allclose(found.modes, by_orders(table), atol=1e-12)


def test_an_order_adds_its_first_player_first_and_antithetic_sampling_uses_both_directions() -> None:
    table = random_table(4)
    order = np.array([2, 0, 3, 1])
    forward = from_orders(Evidence(Table(table)), [order]).modes
    np.testing.assert_allclose(forward[2], table[0b0100] - table[0], atol=1e-12)
    np.testing.assert_allclose(forward[1], table[0b1111] - table[0b1101], atol=1e-12)
    backward = from_orders(Evidence(Table(table)), [order[::-1]]).modes
    rng = np.random.default_rng(0)
    both = permutation_sampling(Evidence(Table(table)), np.random.default_rng(0), most=1).modes
    drawn = rng.permutation(4)
    expected = [from_orders(Evidence(Table(table)), [one]).modes for one in (drawn, drawn[::-1])]
    np.testing.assert_allclose(both, np.mean(expected, axis=0), atol=1e-12)
    assert not np.allclose(forward, backward)


def test_modes_equal_those_of_msapy_on_identical_permutations() -> None:
    msa = pytest.importorskip("msapy.msa", reason="msapy is not installed; fix: pip install msapy==1.7.3")
    game, rng = SyntheticGame(n_players=8, n_outputs=4), np.random.default_rng(1)
    orders = list({tuple(int(i) for i in rng.permutation(8)) for _ in range(20)})  # msapy drops repetitions

    def lesioned(players: tuple[int, ...]) -> np.ndarray:
        return game._ablate(game.masks([tuple(players)]))[0].double().numpy()

    table = msa.get_shapley_table(permutation_space=orders, objective_function=lesioned,
                                  objective_function_params={}, lazy=True, dual_progress_bars=False)  # fmt: skip
    theirs = np.asarray(table, dtype=float)
    # msapy's lazy mode lesions the order's first players first: it runs every order backwards.
    ours = from_orders(Evidence(game), [np.array(order[::-1]) for order in orders]).modes
    np.testing.assert_allclose(ours, theirs.T, atol=1e-6)


def test_sampling_stops_at_the_requested_precision() -> None:
    evidence = Evidence(SyntheticGame(n_players=20), 20_000)
    found = permutation_sampling(evidence, np.random.default_rng(0), precision=0.1)
    assert found.player_errors is not None
    assert found.player_errors.max() <= 0.1 * np.sqrt(np.square(found.modes).mean())
    assert len(evidence) < 10_000
    truth = permutation_sampling(Evidence(SyntheticGame(n_players=20)), np.random.default_rng(1), most=400)
    assert np.sqrt(np.square(found.modes - truth.modes).mean(axis=1)).max() < 0.3 * truth.magnitudes.max()


def test_truncation_saves_evaluations_keeps_efficiency_and_is_biased() -> None:
    table = np.zeros((2**16, 1))
    table[kept_in(16)[:, :3].all(axis=1)] = 1.0  # complete once players 0, 1, 2 are in, except for a late one:
    table[kept_in(16)[:, 15]] += 0.04
    free, cut = Evidence(Table(table)), Evidence(Table(table))
    whole = permutation_sampling(free, np.random.default_rng(0), most=20)
    short = permutation_sampling(cut, np.random.default_rng(0), most=20, truncation=0.05)
    assert len(cut) < 0.95 * len(free)
    np.testing.assert_allclose(short.modes.sum(axis=0), table[-1] - table[0])
    assert whole.modes[15] == pytest.approx(0.04)
    assert short.modes[15] < 0.039
