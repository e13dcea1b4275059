"""Signals: values computed by hand, and properties that follow from the formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.tasks.collections.bm25 import BM25
from coterie.tasks.collections.types import Domain
from coterie.tasks.signals import SIGNALS, graded, quintile_edges, signal_values, statistics_of

DOCUMENTS = ["red apple pie", "green apple", "blue sky, blue sky: SKY"]
STATISTICS = statistics_of(DOCUMENTS)


def value(name: str, query: str, document: str) -> float:
    return float(signal_values(name, [(query, document)], STATISTICS)[0])


def test_statistics_of_a_collection() -> None:
    assert STATISTICS.n_documents == 3
    assert STATISTICS.average_length == pytest.approx((3 + 2 + 5) / 3)
    assert STATISTICS.document_frequency == {"red": 1, "apple": 2, "pie": 1, "green": 1, "blue": 1, "sky": 1}
    assert STATISTICS.idf("apple") == pytest.approx(math.log(1 + (3 - 2 + 0.5) / 2.5))
    assert STATISTICS.idf("unseen") == pytest.approx(math.log(1 + 3.5 / 0.5))


@pytest.mark.parametrize(
    ("name", "query", "document", "expected"),
    [
        ("cqtr", "apple sky", "red apple pie", 1 / 2),
        ("cqtr", "Apple apple SKY the", "red apple pie", 1 / 2),  # a set of terms, lower case, no stop words
        ("cqtr", "pear", "red apple pie", 0.0),
        ("mean-tf-l", "sky", "blue sky, blue sky: SKY", 3 / 5),
        ("mean-tf-l", "sky pear", "blue sky, blue sky: SKY", 3 / 5 / 2),
        ("sum-tf", "blue sky", "blue sky, blue sky: SKY", 5.0),
        ("query-length", "blue blue sky", "apple", 3.0),
        ("document-length", "sky", "blue sky, blue sky: SKY", 5.0),
        ("sum-idf", "apple sky", "red apple pie", math.log(1 + 1.5 / 2.5)),
        (
            "bm25",
            "apple",
            "red apple pie",
            math.log(1 + 1.5 / 2.5) / (1 + 1.5 * (0.25 + 0.75 * 3 / (10 / 3))),
        ),
    ],
)
def test_signal_equals_the_value_computed_by_hand(name: str, query: str, document: str, expected: float) -> None:
    assert value(name, query, document) == pytest.approx(expected)


@pytest.mark.parametrize("name", [n for n in SIGNALS if not n.endswith("length")])
def test_signal_without_common_terms_is_zero(name: str) -> None:
    assert value(name, "the", "red apple") == 0.0
    assert value(name, "apple", "") == 0.0
    assert value(name, "pear", "red apple") == 0.0


def test_bm25_signal_equals_the_bm25_of_candidates() -> None:
    domain = Domain("d", {"q": "apple sky"}, {str(i): text for i, text in enumerate(DOCUMENTS)}, {"q": {"0": 1}})
    expected = BM25(domain).score("apple sky", ["0", "1", "2"])
    got = signal_values("bm25", [("apple sky", text) for text in DOCUMENTS], STATISTICS)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


words = st.lists(st.sampled_from(["red", "apple", "pie", "green", "sky"]), min_size=1, max_size=8).map(" ".join)


@given(words, words)
def test_signals_stay_within_their_bounds(query: str, document: str) -> None:
    assert 0 <= value("cqtr", query, document) <= 1
    assert 0 <= value("mean-tf-l", query, document) <= 1
    assert (value("sum-idf", query, document) > 0) == (value("cqtr", query, document) > 0)
    assert value("bm25", query, document) <= value("sum-idf", query, document) + 1e-12


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=5, max_size=60))
def test_levels_increase_with_the_values(values: list[float]) -> None:
    array = np.array(values)
    levels = graded(array, quintile_edges(array))
    assert levels.min() >= 0
    assert levels.max() <= 4
    order = np.argsort(array)
    assert (np.diff(levels[order]) >= 0).all(), "a higher value never has a lower level"
    assert all(len(set(levels[array == v])) == 1 for v in array)


def test_quintiles_of_distinct_values_are_equally_large() -> None:
    values = np.arange(100.0)
    assert np.bincount(graded(values, quintile_edges(values))).tolist() == [20, 20, 20, 20, 20]
