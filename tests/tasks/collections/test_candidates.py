"""Candidates and BM25: which documents are ranked for a query."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coterie.tasks.collections.bm25 import BM25
from coterie.tasks.collections.candidates import candidates
from coterie.tasks.collections.loading import load_domain
from coterie.tasks.collections.types import Domain
from coterie.tasks.errors import DataError
from coterie.tasks.ndcg import NDCG
from tests.tasks.collections.made import RUN, beir


def tiny_domain() -> Domain:
    documents = {
        f"d{i}": f"{word} common text" for i, word in enumerate(["alpha", "beta", "gamma", "delta", "alpha beta"])
    }
    return Domain("tiny", {"q": "alpha"}, documents, {"q": {"d3": 1}})


def test_candidates_are_relevant_documents_and_the_best_of_bm25() -> None:
    rows = candidates(tiny_domain(), ["q"], depth=3)
    assert [r.document_id for r in rows] == ["d0", "d3", "d4"]
    assert [r.grade for r in rows] == [0, 1, 0]


def test_bm25_equals_the_formula() -> None:
    """Lucene's BM25 by hand: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), tf / (tf + k1 (1 - b + b len / mean))."""
    import numpy as np

    idf = np.log(1 + (5 - 2 + 0.5) / (2 + 0.5))
    mean = (3 * 4 + 4) / 5
    expected = {
        "d0": idf / (1 + 1.5 * (0.25 + 0.75 * 3 / mean)),
        "d4": idf / (1 + 1.5 * (0.25 + 0.75 * 4 / mean)),
        "d1": 0.0,
    }
    assert BM25(tiny_domain()).score("alpha", list(expected)) == pytest.approx(list(expected.values()), rel=1e-5)
    assert not BM25(tiny_domain()).scores("unheard").any()


def test_documents_without_any_term_are_refused() -> None:
    domain = Domain("signs", {"q": "apple"}, {"d1": "! ?", "d2": "the of and", "d3": "a b"}, {"q": {"d1": 1}})
    with pytest.raises(
        DataError, match=r"domain 'signs': expected documents with terms for BM25 .* in its 3 documents"
    ):
        BM25(domain)


def test_too_few_documents_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected at least 9 documents, .*got 5"):
        candidates(tiny_domain(), ["q"], depth=9)


def test_unknown_query_is_named(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path, run=RUN))
    with pytest.raises(DataError, match="query 'q9' does not exist or has no candidates"):
        candidates(domain, ["q1", "q9"], 2)


def test_run_is_reranked_as_given(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path, run=RUN))
    rows = candidates(domain, ["q2"], 1)
    assert [(p.document_id, p.grade) for p in rows] == [("d3", 0)], (
        "the run ranks a document first that is not relevant"
    )


def test_random_candidates_replace_the_last_of_bm25() -> None:
    documents = {f"d{i:02}": f"apple {'pie ' * i}" for i in range(30)}
    domain = Domain("d", {"q": "apple"}, documents, {"q": {f"d{i:02}": 1 for i in range(8)}})
    plain, mixed = ({p.document_id for p in candidates(domain, ["q"], 10, random_candidates=n)} for n in (0, 4))
    assert len(plain) == len(mixed) == 10
    for chosen in (plain, mixed):
        assert sum(d < "d08" for d in chosen) == 5, "half of the candidates come from the eight relevant documents"
    assert plain != mixed
    assert mixed == {p.document_id for p in candidates(domain, ["q"], 10, random_candidates=4)}


def test_ndcg_counts_relevant_documents_outside_the_pool(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path, run={"q1": ["d1", "d3"], "q2": ["d3"]}))
    rows = candidates(domain, ["q1", "q2"], 5)
    assert NDCG(rows, domain.qrels).per_query(np.array([2.0, 1.0, 1.0])).tolist() == [1.0, 0.0]
