"""Agreement of seeds: adjusted mutual information over the players of some coalition of two or more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score

from coterie.leaderboard import compile_board, render_html, render_markdown
from coterie.leaderboard.board.agreement import agreement_of, agreement_of_seeds
from coterie.tracking.record import CoalitionSet, Record
from tests.records import METRICS, make_record


def answer(*groups: list[int], n: int = 20) -> CoalitionSet:
    return CoalitionSet(n_players=n, groups=list(groups))


def seeds(*answers: CoalitionSet) -> list[Record]:
    return [
        make_record(seed=i, metrics=METRICS[1:2]).model_copy(update={"coalitions": a}) for i, a in enumerate(answers)
    ]


def test_the_same_coalitions_in_another_order_agree_fully_and_others_do_not() -> None:
    one = answer([0, 1, 2], [3, 4], [5, 6, 7])
    assert agreement_of(one, answer([7, 6, 5], [2, 1, 0], [4, 3])) == pytest.approx(1)
    assert (agreement_of(one, answer([0, 3, 5], [1, 4], [2, 6, 7])) or 0) < 0.5


def test_players_that_are_alone_in_both_sets_do_not_count() -> None:
    one, two = answer([0, 1, 2], [3, 4, 5], [9]), answer([0, 1, 5], [2, 3, 4])
    expected = adjusted_mutual_info_score([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 0])
    assert agreement_of(one, two) == pytest.approx(expected)
    many = [answer(*c.groups, n=5000) for c in (one, two)]
    assert agreement_of(*many) == pytest.approx(expected)


@given(st.permutations(range(12)))
def test_numbering_of_players_does_not_matter(names: list[int]) -> None:
    one, two = [[0, 1, 2], [3, 4]], [[1, 2, 3], [0, 5, 6]]
    renamed = [[[names[i] for i in g] for g in groups] for groups in (one, two)]
    before = agreement_of(answer(*one, n=12), answer(*two, n=12))
    assert agreement_of(*(answer(*groups, n=12) for groups in renamed)) == pytest.approx(before)


def test_a_player_in_several_coalitions_counts_for_the_first() -> None:
    overlapping, partition = answer([0, 1, 2], [2, 3, 4]), answer([0, 1, 2], [3, 4])
    assert agreement_of(overlapping, partition) == pytest.approx(1)


def test_agreement_is_the_mean_over_pairs_of_seeds_or_has_a_reason() -> None:
    answers = [answer([0, 1, 2], [3, 4, 5]), answer([0, 1, 2], [3, 4, 5]), answer([0, 3], [1, 4], [2, 5])]
    pairs = [agreement_of(answers[i], answers[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    found = agreement_of_seeds("m", seeds(*answers))
    assert (found.ami, found.n_seeds) == (pytest.approx(np.mean(pairs)), 3)
    assert (found.lowest, found.highest) == (pytest.approx(min(pairs)), pytest.approx(max(pairs)))
    assert agreement_of_seeds("m", seeds(answers[0])).reason == "agreement needs at least 2 seeds, got 1"
    assert agreement_of_seeds("m", seeds(answer([0]), answer([1]))).reason == "no seed has a coalition of two or more"


def test_page_and_markdown_show_the_agreement_of_seeds() -> None:
    board = compile_board(seeds(answer([0, 1, 2]), answer([0, 1, 2])))
    assert [(a.entry, a.ami) for a in board.tasks[0].agreement] == [("random", pytest.approx(1))]
    assert "Agreement of seeds" in render_html(board)
    assert "| `random` | 1.00 |" in render_markdown(board)
