"""Sizes of coalitions: by hand on small sets, by slow definitions on any set."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.leaderboard.statistics.sizes import QUANTILES, describe_sizes

N = 24

groups_of_players = st.lists(st.lists(st.integers(0, N - 1), min_size=1, unique=True), max_size=12)


def test_a_giant_coalition_and_singletons_show() -> None:
    giant, alone = list(range(20)), [[20], [21]]
    sizes = describe_sizes(N, [giant, *alone])
    assert sizes.number == 3
    assert sizes.largest == 20
    assert sizes.largest_share == pytest.approx(20 / 24)
    assert sizes.singleton_share == pytest.approx(2 / 24)
    assert sizes.left_out_share == pytest.approx(2 / 24)
    assert (sizes.eligible, sizes.covered_share) == (0, 0.0)


def test_a_player_in_several_coalitions_counts_once() -> None:
    sizes = describe_sizes(N, [[0, 1], [1, 2], [2], [3]])
    assert sizes.covered_share == pytest.approx(3 / 24)
    assert sizes.singleton_share == pytest.approx(1 / 24)  # 2 is also in a pair, 3 is alone
    assert sizes.left_out_share == pytest.approx(20 / 24)


def test_eligible_sizes_are_two_to_an_eighth_of_the_players_by_default() -> None:
    groups = [[0], [1, 2], [3, 4, 5], [6, 7, 8, 9]]
    assert describe_sizes(N, groups).eligible == 2
    assert describe_sizes(N, groups, smallest=3, largest_share=1 / 6).eligible == 2
    assert describe_sizes(N, groups, smallest=3, largest_share=1 / 6).covered_share == pytest.approx(7 / 24)


def test_no_coalitions_have_no_quantiles() -> None:
    sizes = describe_sizes(N, [])
    assert (sizes.number, sizes.largest, sizes.quantiles) == (0, 0, ())
    assert sizes.left_out_share == 1


@given(groups_of_players)
def test_shares_and_quantiles_match_slow_definitions(groups: list[list[int]]) -> None:
    sizes = describe_sizes(N, groups)
    of_player = [[len(g) for g in groups if i in g] for i in range(N)]
    assert sizes.singleton_share == pytest.approx(sum(bool(s) and max(s) == 1 for s in of_player) / N)
    assert sizes.left_out_share == pytest.approx(sum(not s for s in of_player) / N)
    assert sizes.covered_share == pytest.approx(sum(any(2 <= size <= N // 8 for size in s) for s in of_player) / N)
    if groups:
        lengths = [len(g) for g in groups]
        assert sizes.quantiles == tuple(np.quantile(lengths, QUANTILES, method="inverted_cdf").tolist())


@given(groups_of_players, st.permutations(range(N)))
def test_numbering_and_order_of_players_do_not_matter(groups: list[list[int]], names: list[int]) -> None:
    renamed = [[names[i] for i in reversed(group)] for group in reversed(groups)]
    assert describe_sizes(N, renamed) == describe_sizes(N, groups)


@pytest.mark.parametrize(
    ("n", "groups", "message"),
    [
        (0, [], "n_players: expected at least 1, got 0"),
        (4, [[0], []], r"coalitions\[1\]: expected at least one player, each once"),
        (4, [[0, 0]], r"coalitions\[0\]: expected at least one player, each once"),
        (4, [[0, 4]], "expected player indices 0 to 3, got 4"),
        (4, [[-1, 2]], "expected player indices 0 to 3, got -1"),
    ],
)
def test_malformed_coalitions_are_refused(n: int, groups: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        describe_sizes(n, groups)
