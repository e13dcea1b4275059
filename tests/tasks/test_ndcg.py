"""nDCG@10 equals the formula and ir-measures, for many score vectors at a time."""

from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.tasks.collections.types import Candidate
from coterie.tasks.ndcg import NDCG

GRADES = [2, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 3]
PAIRS = [Candidate(q, f"d{i:02}", "", "", g) for q in ("q1", "q2") for i, g in enumerate(GRADES)]


def by_hand(scores: np.ndarray) -> float:
    """DCG@10 over the ideal DCG@10, with ties broken by document id, descending, as in trec_eval."""
    order = sorted(range(len(GRADES)), key=lambda i: (scores[i], f"d{i:02}"), reverse=True)
    dcg = sum(GRADES[i] / math.log2(r + 2) for r, i in enumerate(order[:10]))
    ideal = sum(g / math.log2(r + 2) for r, g in enumerate(sorted(GRADES, reverse=True)[:10]))
    return dcg / ideal


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=24, max_size=24))
def test_ndcg_equals_the_formula_with_ties(levels: list[int]) -> None:
    scores = np.array(levels, dtype=float)
    expected = [by_hand(scores[:12]), by_hand(scores[12:])]
    assert NDCG(PAIRS).per_query(scores) == pytest.approx(expected)


def test_scores_can_have_any_leading_shape() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 3, 24))
    together = NDCG(PAIRS).per_query(scores)
    assert together.shape == (2, 3, 2)
    assert together[1, 2] == pytest.approx(NDCG(PAIRS).per_query(scores[1, 2]))


def test_nan_is_refused() -> None:
    scores = np.zeros(24)
    scores[5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        NDCG(PAIRS).per_query(scores)


ids = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=3)
grades = st.dictionaries(ids, st.integers(-1, 4), min_size=1, max_size=25)
ties = st.sampled_from([0.0, -0.0, 1.0, 1.0 + 1e-9, 1e30, -np.inf, np.inf, 0.5, -3.0])


@settings(max_examples=200, deadline=None)
@given(judged=st.lists(grades, min_size=1, max_size=4), data=st.data(), with_qrels=st.booleans())
def test_ndcg_equals_ir_measures(judged: list[dict[str, int]], data: st.DataObject, with_qrels: bool) -> None:
    qrels = {f"q{i}": one for i, one in enumerate(judged)}
    chosen = {q: data.draw(st.lists(st.sampled_from(sorted(one)), min_size=1, unique=True)) for q, one in qrels.items()}
    pairs = [Candidate(q, d, "", "", qrels[q][d]) for q, names in chosen.items() for d in names]
    scores = np.array(data.draw(st.lists(ties, min_size=3 * len(pairs), max_size=3 * len(pairs)))).reshape(3, -1)
    if not with_qrels:
        qrels = {q: {d: qrels[q][d] for d in names} for q, names in chosen.items()}
    got = NDCG(pairs, qrels if with_qrels else None).per_query(scores)
    for row, values in zip(scores, got, strict=True):
        run: dict[str, dict[str, float]] = {q: {} for q in chosen}
        for p, score in zip(pairs, row, strict=True):
            run[p.query_id][p.document_id] = float(score)
        found = {m.query_id: m.value for m in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run)}
        assert values.tolist() == pytest.approx([found[q] for q in chosen], abs=1e-12)  # its logarithms are C's
