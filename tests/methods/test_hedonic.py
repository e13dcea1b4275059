"""Choice sets, utilities and the exact algorithm against textbook loops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.methods import hedonic
from coterie.methods.hedonic import (
    NOBODY,
    Preferences,
    by_strength,
    digraph,
    players_of,
    sink_components,
    standing,
    top_cover,
    views,
)
from tests.methods import naive


def partition(rounds: list[list[np.ndarray]]) -> set[frozenset[int]]:
    return {frozenset(group.tolist()) for group in chain.from_iterable(rounds)}


def exact(phi: np.ndarray, left: set[int], k: int) -> naive.Wanted:
    return {i: set(naive.choice_set(phi, i, left, k)) for i in left}


@pytest.mark.parametrize("look", [hedonic._choice_by_gathering, hedonic._choice_by_scanning])
@given(phi=naive.affinities(), k=st.integers(1, 4), seed=st.integers(0, 1000), listed=st.integers(1, 9))
def test_both_searches_for_choice_sets_agree_with_the_definition(
    look: Callable[..., np.ndarray], phi: np.ndarray, k: int, seed: int, listed: int
) -> None:
    masks = np.random.default_rng(seed).random((5, len(phi))) < 0.6
    coalition, player = np.nonzero(masks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hedonic, "_LISTED", listed)  # so that some searches reach the end of a list
        patch.setattr(hedonic, "BLOCK", 20)
        found = look(Preferences.of(phi), masks, coalition, player, k)
    for c, i, keys in zip(coalition, player.tolist(), found, strict=True):
        friends = tuple(players_of(keys[keys != NOBODY]))
        assert friends == naive.choice_set(phi, i, np.flatnonzero(masks[c]), k)


@given(phi=naive.affinities(), k=st.integers(1, 3), seed=st.integers(0, 1000))
def test_views_cover_every_member_of_every_coalition_once(phi: np.ndarray, k: int, seed: int) -> None:
    masks = np.random.default_rng(seed).random((6, len(phi))) < 0.5
    chosen = np.random.default_rng(seed).random(len(phi)) < 0.7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hedonic, "BLOCK", 2 * len(phi))  # two coalitions per block
        blocks = list(views(Preferences.of(phi), masks, k, of=chosen))
    offset, pairs = 0, []
    for seen in blocks:
        for c, i, value in zip(seen.coalition, seen.player, seen.utility, strict=True):
            pairs.append((c + offset, i))
            assert value == pytest.approx(naive.utility(phi, i, np.flatnonzero(seen.masks[c]), k), abs=1e-12)
        offset += len(seen.masks)
    assert pairs == [(c, i) for c, i in np.argwhere(masks) if chosen[i]]


@given(phi=naive.affinities(), k=st.integers(1, 4))
def test_top_cover_equals_removing_the_smallest_closed_set_one_at_a_time(phi: np.ndarray, k: int) -> None:
    reference = naive.peel_smallest(len(phi), lambda left: exact(phi, left, k))
    assert partition(top_cover(Preferences.of(phi), k)) == reference


@given(phi=naive.affinities(most=7), k=st.integers(1, 3))
def test_no_coalition_blocks_the_exact_partition(phi: np.ndarray, k: int) -> None:
    own = {i: group for group in partition(top_cover(Preferences.of(phi), k)) for i in group}
    for size in range(1, len(phi) + 1):
        for coalition in combinations(range(len(phi)), size):
            assert not all(naive.prefers(phi, i, coalition, own[i], k) for i in coalition)


@given(phi=naive.affinities(symmetric=True))
def test_one_friend_makes_pairs_if_affinities_are_symmetric_and_distinct(phi: np.ndarray) -> None:
    if len(np.unique(phi)) <= len(phi) * (len(phi) - 1) // 2:  # ties
        return
    assert max(len(group) for group in partition(top_cover(Preferences.of(phi), 1))) <= 2


def test_an_affinity_to_oneself_is_refused() -> None:
    with pytest.raises(ValueError, match="affinity: expected a diagonal of 0, got other values; fix"):
        Preferences.of(np.eye(3, dtype=np.float32))


def test_players_without_friends_stay_alone() -> None:
    assert partition(top_cover(Preferences.of(np.zeros((4, 4), np.float32)), 2)) == {frozenset({i}) for i in range(4)}
    assert partition(top_cover(Preferences.of(np.zeros((1, 1), np.float32)), 2)) == {frozenset({0})}


def test_preferences_list_only_friends_and_break_ties_by_index() -> None:
    phi = np.array([[0, 1, 2, 1], [-1, 0, -1, -2], [1e-30, 0, 0, 3e38], [5, 5, 4, 0]], np.float32)
    best = Preferences.of(phi).best
    listed = [players_of(row[row != NOBODY]).tolist() for row in best]
    assert listed == [[2, 1, 3], [], [3, 0], [0, 1, 2]]
    assert (np.diff(best) >= 0).all()


def test_sink_components_are_closed_and_strongly_connected() -> None:
    source, target = np.array([(0, 1), (1, 0), (2, 0), (3, 4), (4, 5), (5, 3), (2, 3), (5, 5)]).T
    edges = digraph(source, target, 7)
    assert [sink.tolist() for sink in sink_components(edges)] == [[0, 1], [3, 4, 5], [6]]


def test_groups_are_ranked_by_the_mean_utility_of_their_members() -> None:
    phi = np.array([[0, 4, 0, 0, 0], [2, 0, 0, 0, 0], [0, 0, 0, 5, 1], [0, 0, 5, 0, 3], [0, 0, 1, 3, 0]], np.float32)
    preferences = Preferences.of(phi)
    groups = [np.array([0, 1]), np.array([2, 3, 4])]
    utility, choice, size = standing(preferences, groups, 1)
    assert utility.tolist() == [4, 2, 5, 5, 3]
    assert players_of(choice).tolist() == [[1], [0], [3], [2], [3]]
    assert size.tolist() == [2, 2, 3, 3, 3]
    ordered = by_strength(preferences, [np.array([4]), *groups[:1], np.array([2, 3])], 1)
    assert [group.tolist() for group in ordered] == [[2, 3], [0, 1], [4]]
    assert standing(preferences, ordered, 1)[0][4] == 0
