"""The estimators of Shapley modes against brute force, against the axioms, and against the known traps of their peers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.methods.msa import (
    Estimate,
    Estimator,
    Evidence,
    draw_pairs,
    estimate_modes,
    evaluate_all,
    exact,
    exact_interactions,
    from_orders,
    interactions,
    kriging,
    odd_regression,
    permutation_sampling,
    regression_adjusted,
)
from coterie.methods.msa.blocks import BlockGame, block_values, settle_top
from coterie.methods.msa.interactions import pair_interactions
from coterie.tasks.errors import BudgetExceededError
from coterie.tasks.game import Capability, Game, Meter
from coterie.tasks.synthetic import SyntheticGame

ESTIMATORS: list[Estimator] = ["kriging", "antithetic", "permutation", "regression", "msr"]
REGRESSIONS: list[Estimator] = ["kriging", "regression", "msr"]


class Table(Game):
    """A game given by its value of every coalition, in the order of binary numbers: [2^n, outputs]."""

    def __init__(self, values: np.ndarray) -> None:
        self.n_players, self.n_outputs = len(values).bit_length() - 1, values.shape[1]
        self.capabilities, self.meter = frozenset({Capability.ABLATIONS}), Meter()
        self.asked: list[int] = []
        self._table = torch.from_numpy(values)

    def _ablate(self, masks: torch.Tensor) -> torch.Tensor:
        codes = (~masks).long() @ (1 << torch.arange(self.n_players))
        self.asked += codes.tolist()
        return self._table[codes]


def random_table(n: int, outputs: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2**n, outputs))


def kept_in(n: int) -> np.ndarray:
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1 > 0


def full(game: Game) -> Evidence:
    evidence = Evidence(game)
    evaluate_all(evidence)
    return evidence


def by_orders(table: np.ndarray) -> np.ndarray:
    """The definition, as slow as it is obvious: the mean over all n! orders."""
    n = len(table).bit_length() - 1
    total, count = np.zeros((n, table.shape[1])), 0
    for order in permutations(range(n)):
        code = 0
        for i in order:
            total[i] += table[code | 1 << i] - table[code]
            code |= 1 << i
        count += 1
    return total / count


games = st.builds(random_table, st.integers(1, 6), st.integers(1, 3), st.integers(0, 10**6))


# Exactness


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_oracle_is_the_mean_over_all_orders(n: int) -> None:
    table = random_table(n, 3)
    np.testing.assert_allclose(exact(full(Table(table))).modes, by_orders(table), atol=1e-12)


@pytest.mark.parametrize("estimator", REGRESSIONS)
@pytest.mark.parametrize("n", [1, 2, 3, 6, 10, 12])
def test_regressions_are_exact_at_full_budget(n: int, estimator: Estimator) -> None:
    game = Table(random_table(n))
    evidence = Evidence(game, 2**n)
    found = estimate_modes(evidence, estimator, np.random.default_rng(0))
    assert evidence.complete
    assert sorted(game.asked) == list(range(2**n)), "each coalition once"
    np.testing.assert_allclose(found.modes, exact(evidence).modes, atol=1e-7)


@pytest.mark.parametrize("n", [2, 4])
def test_all_permutations_are_exact(n: int) -> None:
    table = random_table(n)
    found = from_orders(Evidence(Table(table)), [np.array(order) for order in permutations(range(n))])
    np.testing.assert_allclose(found.modes, by_orders(table), atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_banzhaf_values_from_the_same_masks(n: int) -> None:
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
    }  # of the spread; msr here draws 20 of 31 pairs, none twice
    for estimator, allowed in bias.items():
        found = [estimate_modes(Evidence(Table(table), 40), estimator, np.random.default_rng(s)) for s in range(60)]
        modes, errors = np.array([f.modes for f in found]), np.array([f.errors for f in found])
        spread = modes.std(axis=0, ddof=1)
        assert np.abs(modes.mean(axis=0) - truth).max() < (4.5 / np.sqrt(len(found)) + allowed) * spread.max()
        assert 0.7 < np.sqrt(np.square(errors).mean() / np.square(spread).mean()) < 1.5


# Axioms, for every estimator and whatever was sampled


@pytest.mark.parametrize("estimator", ESTIMATORS)
@settings(max_examples=10)
@given(games, st.integers(0, 100), st.integers(0, 10**6))
def test_efficiency_always(estimator: Estimator, table: np.ndarray, extra: int, seed: int) -> None:
    n = len(table).bit_length() - 1
    evidence = Evidence(Table(table), 2 + 2 * n + extra)
    found = estimate_modes(evidence, estimator, np.random.default_rng(seed))
    np.testing.assert_allclose(found.modes.sum(axis=0), table[-1] - table[0], atol=1e-9)
    assert len(evidence) <= 2 + 2 * n + extra


@pytest.mark.parametrize("estimator", REGRESSIONS)
@settings(max_examples=8)
@given(games, st.integers(0, 10**6), st.floats(-3, 3))
def test_linearity_symmetry_and_dummies_at_full_budget(
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


# The store


@settings(max_examples=20)
@given(st.integers(1, 20), st.lists(st.integers(0, 30), max_size=12), st.integers(0, 10**6))
def test_the_store_gives_back_what_was_put_in_and_pays_once(n: int, picks: list[int], seed: int) -> None:
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
    assert len(game.asked) == len(set(game.asked)) == game.meter.total == 2 + 2 + 1


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("budget", [48, 49, 100, 101])
def test_the_budget_is_respected_to_the_evaluation(estimator: Estimator, budget: int) -> None:
    game = SyntheticGame().restricted_to({Capability.ABLATIONS}, budget)
    found = estimate_modes(Evidence(game, budget), estimator, np.random.default_rng(0))
    assert found.evaluations == game.meter.total <= budget
    assert found.evaluations >= (budget - 1 if estimator in REGRESSIONS else budget / 2 - 2)


def test_a_budget_that_is_too_small_says_so_before_any_work() -> None:
    game = Table(random_table(5))
    with pytest.raises(BudgetExceededError, match="budget: 1 evaluations left, 2 more coalitions asked for; fix"):
        Evidence(game, 1)
    with pytest.raises(BudgetExceededError, match="budget: 1 evaluations left"):
        Evidence(game.restricted_to({Capability.ABLATIONS}, 1))
    with pytest.raises(ValueError, match="expected a number of evaluations for 24 players, got none; fix"):
        estimate_modes(Evidence(SyntheticGame()), "kriging", np.random.default_rng(0))
    assert not game.asked


def test_outputs_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="expected finite numbers, got nan; fix"):
        Evidence(Table(np.full((4, 1), np.nan)))


# The traps


def test_player_0_and_seed_0_are_like_any_other() -> None:
    table = np.zeros((8, 1))
    table[1::2] = 1.0  # only player 0 matters
    for estimator in ESTIMATORS:
        found = estimate_modes(Evidence(Table(table), 8), estimator, np.random.default_rng(0))
        np.testing.assert_allclose(found.modes[:, 0], [1, 0, 0], atol=1e-9)
    game = SyntheticGame()
    one, two = (permutation_sampling(Evidence(game), np.random.default_rng(0), most=2).modes for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_an_order_adds_its_first_player_first_and_antithetic_takes_both_directions() -> None:
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


def test_interactions_of_vector_outputs_and_of_an_additive_game() -> None:
    table = random_table(4, 3)
    found = exact_interactions(full(Table(table)))
    assert found.shape == (4, 4, 3)
    for output in range(3):  # each output is a game of its own
        alone = exact_interactions(full(Table(table[:, [output]])))
        np.testing.assert_allclose(found[..., [output]], alone, atol=1e-12)
    pair = kept_in(4)[:, [1, 3]].all(axis=1)[:, None].astype(float)
    expected = np.zeros((4, 4, 1))
    expected[1, 3] = expected[3, 1] = 1
    np.testing.assert_allclose(exact_interactions(full(Table(pair))), expected, atol=1e-12)
    additive = kept_in(4) @ np.random.default_rng(0).normal(size=(4, 2))
    np.testing.assert_allclose(exact_interactions(full(Table(additive))), 0, atol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_additive_game_is_exact_at_once_and_said_to_be_additive(estimator: Estimator) -> None:
    weights = np.random.default_rng(0).normal(size=(8, 2))
    evidence = Evidence(Table(1.5 + kept_in(8) @ weights), 60)
    found = estimate_modes(evidence, estimator, np.random.default_rng(0))
    np.testing.assert_allclose(found.modes, weights, atol=1e-6)
    assert found.notes(evidence)["additive"] is True
    if estimator == "antithetic":
        assert len(evidence) == 2 + 2 * 7, "stops after one sample"
    single = from_orders(Evidence(Table(1.5 + kept_in(8) @ weights)), [np.arange(8)])
    np.testing.assert_allclose(single.modes, weights, atol=1e-12)


def test_a_game_with_interactions_is_not_said_to_be_additive() -> None:
    for estimator in ESTIMATORS:
        evidence = Evidence(SyntheticGame(n_players=10), 60)
        assert estimate_modes(evidence, estimator, np.random.default_rng(0)).notes(evidence)["additive"] is False


def test_equal_to_msapy_on_identical_permutations() -> None:
    msa = pytest.importorskip("msapy.msa", reason="msapy is not installed; fix: pip install msapy==1.7.3")
    game, rng = SyntheticGame(n_players=8, n_outputs=4), np.random.default_rng(1)
    orders = list({tuple(int(i) for i in rng.permutation(8)) for _ in range(20)})  # msapy drops repetitions itself

    def lesioned(players: tuple[int, ...]) -> np.ndarray:
        return game._ablate(game.masks([tuple(players)]))[0].double().numpy()

    table = msa.get_shapley_table(permutation_space=orders, objective_function=lesioned,
                                  objective_function_params={}, lazy=True, dual_progress_bars=False)  # fmt: skip
    theirs = np.asarray(table, dtype=float)
    # msapy's lazy mode lesions the order's first players first: it runs every order backwards.
    ours = from_orders(Evidence(game), [np.array(order[::-1]) for order in orders]).modes
    np.testing.assert_allclose(ours, theirs.T, atol=1e-6)


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


def test_interactions_of_a_smooth_game_need_few_of_its_coalitions() -> None:
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


# Stopping, truncation, small budgets, large games


def test_stops_at_the_stated_precision() -> None:
    evidence = Evidence(SyntheticGame(n_players=20), 20_000)
    found = permutation_sampling(evidence, np.random.default_rng(0), precision=0.1)
    assert found.player_errors is not None
    assert found.player_errors.max() <= 0.1 * np.sqrt(np.square(found.modes).mean())
    assert len(evidence) < 10_000
    truth = permutation_sampling(Evidence(SyntheticGame(n_players=20)), np.random.default_rng(1), most=400)
    assert np.sqrt(np.square(found.modes - truth.modes).mean(axis=1)).max() < 0.3 * truth.magnitudes.max()


def test_truncation_saves_evaluations_keeps_efficiency_and_is_biased() -> None:
    table = np.zeros((2**16, 1))
    table[kept_in(16)[:, :3].all(axis=1)] = 1.0  # done once players 0, 1, 2 are in, but for a late one:
    table[kept_in(16)[:, 15]] += 0.04
    free, cut = Evidence(Table(table)), Evidence(Table(table))
    whole = permutation_sampling(free, np.random.default_rng(0), most=20)
    short = permutation_sampling(cut, np.random.default_rng(0), most=20, truncation=0.05)
    assert len(cut) < 0.95 * len(free)
    np.testing.assert_allclose(short.modes.sum(axis=0), table[-1] - table[0])
    assert whole.modes[15] == pytest.approx(0.04)
    assert short.modes[15] < 0.039


def test_kriging_beats_permutations_at_three_evaluations_a_player() -> None:
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
def test_regressions_read_what_permutations_left(read: Callable[[Evidence], Estimate]) -> None:
    evidence = full(Table(random_table(6)))
    some = Evidence(evidence.game)
    permutation_sampling(some, np.random.default_rng(0), most=3)
    paid = len(some)
    found = read(some)
    assert len(some) == paid
    np.testing.assert_allclose(found.modes.sum(axis=0), some.total, atol=1e-9)


def test_pairs_are_complements_and_no_set_comes_twice() -> None:
    evidence = Evidence(SyntheticGame(n_players=9), 200)
    assert draw_pairs(evidence, 150, np.random.default_rng(0)) == 150
    pairs = evidence.pairs()
    assert len(pairs) == 75
    np.testing.assert_array_equal(evidence.kept(pairs.one), ~evidence.kept(pairs.other))
    assert (np.minimum(pairs.sizes(), 9 - pairs.sizes()) == 1).sum() == 9, "every player alone"


def test_a_size_that_is_used_up_does_not_stop_the_drawing() -> None:
    evidence = Evidence(SyntheticGame(n_players=40), 200)
    for budget in range(
        90, 200, 2
    ):  # one pair at a time: many draws would be of a size or a pair that is there already
        assert draw_pairs(evidence, 2, np.random.default_rng(0)) == 2, budget


def test_blocks_are_players_that_come_and_go_together() -> None:
    game = SyntheticGame(n_players=6)
    blocks = np.array([0, 1, 0, 2, 1, 2])
    found = BlockGame(game, blocks).ablate(torch.tensor([[True, False, True]]))
    torch.testing.assert_close(found, game._ablate(game.masks([[0, 2, 3, 5]])))
    assert game.meter.total == 1


def test_splitting_blocks_keeps_the_evidence() -> None:
    game = SyntheticGame(n_players=6)
    coarse = Evidence(BlockGame(game, np.array([0, 0, 0, 1, 1, 1])))
    evaluate_all(coarse)
    fine_game = BlockGame(game, np.array([0, 0, 2, 1, 1, 1]))
    fine = coarse.split(fine_game, np.array([0, 1, 0]))
    assert len(fine) == 4
    fine.evaluate(kept_in(3))
    assert game.meter.total == 8
    expected = fine_game._ablate(torch.from_numpy(~fine.kept(slice(None))))
    np.testing.assert_allclose(fine.values(slice(None)), expected, atol=1e-6)  # float32, in batches of other sizes


def test_large_games_find_what_matters_through_blocks_and_settle_the_top() -> None:
    out = 0.02 * torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    hubs = [3, 77, 150, 222, 399]
    out[hubs] += torch.tensor([[0.5], [0.4], [0.3], [0.25], [0.2]])
    game = SyntheticGame(n_players=400, n_outputs=6, d_model=6, write_vectors=out)
    found = block_values(game, 500, np.random.default_rng(0))
    assert game.meter.total == found.evaluations <= 500
    evidence = Evidence(game, 3000)
    np.testing.assert_allclose(found.modes.sum(axis=0), evidence.total, atol=1e-6)
    best = np.argsort(-found.magnitudes)[:20]
    assert set(hubs) & set(best.tolist()) >= set(hubs[:3])
    top = settle_top(evidence, best, 2, np.random.default_rng(0))
    truth = permutation_sampling(Evidence(game), np.random.default_rng(5), most=20).modes.mean(axis=1)
    assert top.settled
    assert set(top.certain) == set(np.argsort(-np.abs(truth))[:2].tolist())
    inside = [
        low - 0.02 <= truth[i] <= high + 0.02 for i, low, high in zip(top.candidates, top.low, top.high, strict=True)
    ]
    assert all(inside)
    assert top.evaluations + 2 == len(evidence) <= 3000
