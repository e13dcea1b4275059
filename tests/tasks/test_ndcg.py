"""nDCG@10 by the formula, for many score vectors at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.tasks.collections.types import Candidate
from coterie.tasks.ndcg import NDCG

GRADES = [2, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 3]
PAIRS = [Candidate(q, f"d{i:02}", "", "", g) for q in ("q1", "q2") for i, g in enumerate(GRADES)]


def by_hand(scores: np.ndarray) -> float:
    """DCG@10 over the ideal one; ties by document id, descending, as trec_eval breaks them."""
    order = sorted(range(len(GRADES)), key=lambda i: (scores[i], f"d{i:02}"), reverse=True)
    dcg = sum(GRADES[i] / math.log2(r + 2) for r, i in enumerate(order[:10]))
    ideal = sum(g / math.log2(r + 2) for r, g in enumerate(sorted(GRADES, reverse=True)[:10]))
    return dcg / ideal


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=24, max_size=24))
def test_equals_the_formula_with_ties(levels: list[int]) -> None:
    scores = np.array(levels, dtype=float)
    expected = [by_hand(scores[:12]), by_hand(scores[12:])]
    assert NDCG(PAIRS).per_query(scores) == pytest.approx(expected)


def test_any_leading_shape() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 3, 24))
    together = NDCG(PAIRS).per_query(scores)
    assert together.shape == (2, 3, 2)
    assert together[1, 2] == pytest.approx(NDCG(PAIRS).per_query(scores[1, 2]))


def test_nan_is_refused() -> None:
    scores = np.zeros(24)
    scores[5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        NDCG(PAIRS).per_query(scores)
