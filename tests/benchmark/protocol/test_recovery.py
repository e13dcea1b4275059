"""Omega index and AMI against their definitions and at the ends of their scales."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from coterie.benchmark.protocol.recovery import adjusted_mutual_information, omega_index

Cover = list[set[int]]
COVERS = st.lists(st.sets(st.integers(0, 6), min_size=1), max_size=5)
PLANTED = [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}]


def by_definition(n: int, truth: Cover, found: Cover) -> float:
    pairs = list(combinations(range(n), 2))
    s, t = ([sum({i, j} <= group for group in cover) for i, j in pairs] for cover in (truth, found))
    observed = sum(a == b for a, b in zip(s, t, strict=True)) / len(pairs)
    expected = sum(s.count(c) * t.count(c) for c in set(s) | set(t)) / len(pairs) ** 2
    return 1.0 if observed == 1 else (observed - expected) / (1 - expected)


@settings(deadline=None)
@given(COVERS, COVERS)
def test_omega_equals_its_definition_and_is_symmetric(truth: Cover, found: Cover) -> None:
    value = omega_index(7, [*map(sorted, truth)], [*map(sorted, found)])
    assert value == pytest.approx(by_definition(7, truth, found), abs=1e-12)
    assert value == pytest.approx(omega_index(7, [*map(sorted, found)], [*map(sorted, truth)]), abs=1e-12)
    assert value <= 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=8, max_size=8), st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_omega_of_partitions_is_the_adjusted_rand_index(one: list[int], other: list[int]) -> None:
    covers = [[np.flatnonzero(np.equal(labels, x)).tolist() for x in set(labels)] for labels in (one, other)]
    assert omega_index(8, *covers) == pytest.approx(adjusted_rand_score(one, other), abs=1e-12)


def test_the_truth_scores_1_in_any_order_and_no_groups_score_0() -> None:
    truth = [*map(sorted, PLANTED)]
    for score in (omega_index, adjusted_mutual_information):
        assert score(12, truth, truth[::-1]) == 1
        assert score(12, truth, []) == pytest.approx(0, abs=1e-12)
        assert score(12, truth, [list(range(12))]) == pytest.approx(0, abs=1e-12)


def test_random_groups_score_0_on_average() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(30).reshape(6, 5).tolist()
    found = [rng.permutation(40)[:30].reshape(6, 5).tolist() for _ in range(200)]
    for score in (omega_index, adjusted_mutual_information):
        assert abs(np.mean([score(40, truth, groups) for groups in found])) < 0.02


def test_omega_counts_overlaps_and_ami_only_the_first_group() -> None:
    truth, truncated = [[0, 1, 2, 3], [3, 4, 5, 6]], [[0, 1, 2, 3], [4, 5, 6]]
    assert omega_index(9, truth, truth) == 1
    assert omega_index(9, truth, truncated) < 1
    assert adjusted_mutual_information(9, truth, truncated) == 1


def test_extra_members_lower_omega_but_not_ami() -> None:
    truth, padded = [[0, 1, 2], [3, 4, 5]], [[0, 1, 2, 6, 7], [3, 4, 5, 8, 9]]
    assert omega_index(12, truth, padded) < 0.6
    assert adjusted_mutual_information(12, truth, padded) == 1


def test_a_single_player_scores_1() -> None:
    assert omega_index(1, [], []) == omega_index(1, [], [[0]]) == 1
