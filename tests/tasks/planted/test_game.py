"""Planted games have the properties that their table states, and reveal the groups only where they should."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
import torch

from coterie.tasks.game import Capability, refuse_additive
from coterie.tasks.planted.game import PlantedGame, Planting, Rule

ALL = Planting(sizes=(3, 4), additive=4, copies=2, inhibitors=3, dead=2)


def effects(game: PlantedGame, groups: list[tuple[int, ...]]) -> np.ndarray:
    outputs = game.ablate(game.masks([(), *groups])).numpy()
    return (outputs[0] - outputs[1:]).mean(1)


def psi(game: PlantedGame) -> np.ndarray:
    n = game.n_players
    pairs = list(combinations(range(n), 2))
    single, joint = effects(game, [(i,) for i in range(n)]), effects(game, pairs)
    matrix = np.zeros((n, n))
    for (i, j), value in zip(pairs, joint, strict=True):
        matrix[i, j] = matrix[j, i] = value - single[i] - single[j]
    return matrix


def inside(game: PlantedGame) -> np.ndarray:
    same = np.zeros((game.n_players, game.n_players), dtype=bool)
    for group in game.truth:
        same[np.ix_(group, group)] = True
    np.fill_diagonal(same, False)
    return same


@pytest.mark.parametrize(("rule", "expected"), [("graded", 2 / 9), ("all", 0.0), ("any", -1.0)])
def test_pair_synergies_equal_those_of_the_table(rule: Rule, expected: float) -> None:
    game = PlantedGame(Planting(sizes=(3, 3, 3), rule=rule, additive=3, dead=1))
    values = psi(game)
    np.testing.assert_allclose(values[inside(game)], expected, atol=1e-12)
    np.testing.assert_allclose(values[~inside(game)], 0, atol=1e-12)


def test_all_of_two_has_a_psi_of_one() -> None:
    game = PlantedGame(Planting(sizes=(2, 2), rule="all"))
    np.testing.assert_allclose(psi(game)[inside(game)], 1, atol=1e-12)


@pytest.mark.parametrize("rule", ["graded", "all", "any"])
def test_shapley_values_equal_those_of_the_table(rule: Rule) -> None:
    """A member has its own effect plus 1 / m under any rule, so Shapley values do not distinguish the rules."""
    game = PlantedGame(Planting(sizes=(3, 2), rule=rule, additive=1))
    n, values = game.n_players, np.zeros(game.n_players)
    subsets = [tuple(g) for size in range(n + 1) for g in combinations(range(n), size)]
    f = dict(zip(subsets, effects(game, subsets), strict=True))
    orders = list(permutations(range(n)))
    for order in orders:
        for position, i in enumerate(order):
            before = tuple(sorted(order[:position]))
            values[i] += (f[tuple(sorted((*before, i)))] - f[before]) / len(orders)
    share = np.zeros(n)
    for group in game.truth:
        share[list(group)] = 1 / len(group)
    np.testing.assert_allclose(values, game._own.numpy() + share, atol=1e-9)


def test_decoys_have_their_roles() -> None:
    game = PlantedGame(ALL)
    layout, single, values = game.layout, effects(game, [(i,) for i in range(game.n_players)]), psi(game)
    roles = [*(i for g in (*layout.truth, *layout.copies) for i in g), *layout.inhibitors, *layout.dead]
    assert len(set(roles)) == len(roles) == game.n_players - 4
    activations, writes = game.activations(), game.write_vectors()
    for a, b in layout.copies:
        assert values[a, b] == pytest.approx(-1)
        assert np.corrcoef(activations[:, [a, b]].T)[0, 1] == pytest.approx(1)
        assert torch.cosine_similarity(writes[a], writes[b], dim=0).item() == pytest.approx(1)
    assert all(single[i] < 0 for i in layout.inhibitors)
    for i, group in zip(layout.inhibitors, layout.truth, strict=False):
        assert np.corrcoef(activations[:, [i, group[0]]].T)[0, 1] < -0.99
    dead = list(layout.dead)
    np.testing.assert_allclose(single[dead], 0, atol=1e-12)
    assert not activations[:, dead].any()
    assert not writes[dead].any()


@pytest.mark.parametrize("coactive", [True, False])
@pytest.mark.parametrize("writes", ["apart", "grouped"])
def test_activations_and_weights_reveal_the_groups_only_if_planted_so(coactive: bool, writes: Any) -> None:
    game = PlantedGame(Planting(coactive=coactive, writes=writes, additive=4))
    same, other = inside(game), ~(inside(game) | np.eye(game.n_players, dtype=bool))
    rho = np.corrcoef(game.activations().numpy().T)
    directions = torch.nn.functional.normalize(game.write_vectors(), dim=1)
    cosine = (directions @ directions.T).numpy()
    assert np.abs(rho[other]).max() < 0.35
    assert np.abs(cosine[other]).max() < 1e-5
    assert rho[same].min() > 0.999 if coactive else np.abs(rho[same]).max() < 0.35
    assert cosine[same].min() > 0.9 if writes == "grouped" else np.abs(cosine[same]).max() < 1e-5


def test_overlapping_groups_share_members() -> None:
    game = PlantedGame(Planting(sizes=(5, 4, 6), overlap=2))
    assert game.n_players == 11
    shared = [set(a) & set(b) for a, b in combinations(game.truth, 2)]
    assert [len(s) for s in shared] == [2, 0, 2]
    assert {len(g) for g in game.truth} == {4, 5, 6}


def test_splits_have_different_pairs_of_the_same_game() -> None:
    here, there = PlantedGame(ALL), PlantedGame(ALL, n_queries=20, split=1)
    assert here.truth == there.truth
    assert torch.equal(here.write_vectors(), there.write_vectors())
    np.testing.assert_allclose(psi(here), psi(there), atol=1e-12)
    assert not torch.equal(here.activations()[:50], there.activations()[:50])
    assert there.n_outputs == len(there.query_of_pair) == 100


def test_noise_has_the_stated_strength() -> None:
    game = PlantedGame(Planting(noise=0.5, dead=2))
    values = psi(game)
    psi_inside, around = values[inside(game)], values[~inside(game)]
    around = around[np.abs(around) > 1e-12]  # drops what is zero up to rounding
    assert psi_inside.mean() == pytest.approx(2 / 16, abs=0.03)
    assert 0.7 < around.std() / (0.5 * 2 / 16) < 1.3
    np.testing.assert_allclose(values[list(game.layout.dead)], 0, atol=1e-12)
    rho = np.corrcoef(game.activations()[:, list(game.truth[0])].numpy().T)
    assert 0.5 < np.median(rho) < 0.95


def test_game_depends_only_on_its_planting_and_numbers_players_at_random() -> None:
    one, again, other = PlantedGame(ALL), PlantedGame(ALL), PlantedGame(ALL.model_copy(update={"seed": 1}))
    assert one.truth == again.truth != other.truth
    masks = one.masks([(0, 3, 5), (1,)])
    assert torch.equal(one.ablate(masks), again.ablate(masks))
    assert one.truth[0] != tuple(range(3))
    assert one.capabilities >= {Capability.ABLATIONS, Capability.ACTIVATIONS, Capability.WEIGHTS}
    refuse_additive(one)  # raises for an additive game


@pytest.mark.parametrize("bad", [{"sizes": ()}, {"sizes": (1, 3)}, {"sizes": (3, 4), "overlap": 2}])
def test_impossible_groups_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"sizes: expected groups of at least .* fix: larger groups or less overlap"):
        PlantedGame(Planting(**bad))
