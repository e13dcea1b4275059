"""Loading: which queries and documents are kept, what is dropped and counted, and what is an error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coterie.tasks.collections import loading
from coterie.tasks.collections.candidates import candidates
from coterie.tasks.collections.file_readers import read_run
from coterie.tasks.collections.loading import load_domain
from coterie.tasks.errors import DataError
from coterie.tasks.ndcg import NDCG
from tests.tasks.collections.made import DOCUMENTS, QRELS, QUERIES, RUN, beir, spec, write

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "collections"


def test_only_needed_documents_are_kept(tmp_path: Path) -> None:
    many = {f"x{i}": "filler" for i in range(50)}
    source = beir(tmp_path, documents={**many, **DOCUMENTS}, run={"q1": ["d1", "d3"], "q2": ["x1", "x2", "x3"]})
    seen: list[str] = []
    domain = load_domain(source, lambda usable: seen.extend(usable) or ["q2"], depth=2)
    assert seen == ["q1", "q2"]
    assert set(domain.queries) == {"q2"}
    assert set(domain.documents) == {"x1", "x2", "d2"}, "two candidates, and the relevant document for training"
    assert domain.pools == {"q2": ["x1", "x2"]}


def test_grades_have_a_threshold_and_can_be_binary(tmp_path: Path) -> None:
    source = beir(tmp_path)
    assert load_domain(source.model_copy(update={"relevant_from": 2})).qrels == {"q1": {"d1": 2, "d3": 0}}
    assert load_domain(source.model_copy(update={"binary": True})).qrels["q1"] == {"d1": 1, "d3": 0}


def test_judged_documents_can_be_the_candidates(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path).model_copy(update={"pool": "judged"}))
    assert {q: sorted(pool) for q, pool in domain.pools.items()} == {"q1": ["d1", "d3"], "q2": ["d2"]}


def test_truncated_pool_of_judged_documents_is_independent_of_ids_and_grades(tmp_path: Path) -> None:
    """Truncated at a depth, the pool would otherwise hold the documents whose ids sort first."""
    documents = {f"d{i}": "text" for i in range(100, 200)}
    qrels = {q: {d: int(d < "d150") for d in documents} for q in QUERIES}
    source = beir(tmp_path, documents=documents, qrels=qrels).model_copy(update={"pool": "judged"})
    domain = load_domain(source, depth=20)
    assert domain.pools == load_domain(source, depth=20).pools
    assert domain.pools["q1"] != domain.pools["q2"]
    assert all(2 <= sum(d < "d150" for d in pool) <= 18 for pool in domain.pools.values())


def test_pydoc_refuses_fields_about_judgements() -> None:
    with pytest.raises(ValueError, match="expected none of these for pydoc"):
        spec(collection="pydoc", domain="pandas", relevant_from=2)


def test_ties_of_a_run_are_broken_as_in_trec_eval(tmp_path: Path) -> None:
    source = beir(tmp_path, run=RUN)
    write(tmp_path / "run.trec", "q1 Q0 d1 1 5 t\nq1 Q0 d3 2 5 t\nq1 Q0 d2 3 7 t\nq2 Q0 d2 1 1 t\n")
    assert load_domain(source).pools["q1"] == ["d2", "d3", "d1"], "by score, then by document id, descending"


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        (
            "corpus.jsonl",
            '{"_id": "d1", "text": "a"}\n{"_id": "d1", "text": "b"}\n',
            r"corpus.jsonl:2: document 'd1': expected the text of",
        ),
        ("corpus.jsonl", '{"_id": "d1"', r"corpus.jsonl:1: expected a JSON object"),
        ("corpus.jsonl", "[1]\n", r"corpus.jsonl:1: expected a JSON object, got list"),
        ("corpus.jsonl", "[" * 100_000, r"corpus.jsonl:1: expected a JSON object"),
        ("corpus.jsonl", '{"id": "d1", "text": "a"}\n', r"corpus.jsonl:1: _id: expected an id, got None"),
        ("corpus.jsonl", '{"_id": "d1", "body": "a"}\n', r"corpus.jsonl:1: text: expected a text, got None"),
        ("corpus.jsonl", '{"_id": "d1", "text": ["a"]}\n', r"corpus.jsonl:1: text: expected a text, got \['a'\]"),
        ("corpus.jsonl", r'{"_id": "d1", "text": "a\ud800"}' + "\n", r"corpus.jsonl:1: expected whole characters"),
        ("queries.jsonl", '{"_id": ["x"], "text": "a"}\n', r"queries.jsonl:1: _id: expected an id"),
        ("qrels.trec", "q1 0 d1 1\nq1 0 d1 2\n", r"qrels.trec:2: .*expected grade 1 as at .*qrels.trec:1, got 2"),
        ("qrels.trec", "q1 0 d1\n", r"qrels.trec:1: expected 4 columns separated by white space .*, got 3"),
        ("qrels.trec", "q1 0 d1 high\n", r"qrels.trec:1: grade: expected a whole number, got 'high'"),
        ("qrels.trec", "q1 0 d1 1.5\n", r"qrels.trec:1: grade: expected a whole number"),
        ("run.trec", "q1 Q0 d1 1 nan t\n", r"run.trec:1: expected a finite score, got nan"),
        ("run.trec", "q1 Q0 d1 1 inf t\n", r"run.trec:1: expected a finite score, got inf"),
        ("run.trec", "q1 Q0 d1 1 ten t\n", r"run.trec:1: expected a score, got 'ten'"),
        ("run.trec", "q1 d1 1\n", r"run.trec:1: expected 6 columns"),
        (
            "run.trec",
            "q1 Q0 a 1 3 t\nq1 Q0 b 1 2 t\nq1 Q0 d1 1 1 t\n",
            r"expected a document for most of the 3 candidates, got none for 2",
        ),
    ],
)
def test_invalid_line_is_refused_with_its_file_and_line(file: str, text: str, expected: str, tmp_path: Path) -> None:
    source = beir(tmp_path, run=RUN)
    write(tmp_path / file, text)
    with pytest.raises(DataError, match=expected):
        load_domain(source)


def test_dropped_items_are_counted_by_reason(tmp_path: Path) -> None:
    source = beir(
        tmp_path,
        queries={**QUERIES, "q3": "not judged", "q4": "nothing relevant", "q5": "no candidate", "q6": " "},
        documents={**DOCUMENTS, "d4": "  "},
        qrels={**QRELS, "q4": {"d1": 0}, "q5": {"d1": 1}, "q6": {"d1": 1}, "q7": {"d1": 1}},
        run={**RUN, "q1": ["d1", "d3", "d4"]},
    )
    with (tmp_path / "qrels.trec").open("a") as file:
        file.write("q1 0 d1 2\n")
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "d1", "text": DOCUMENTS["d1"]}) + "\n")
    domain = load_domain(source)
    assert domain.queries == QUERIES
    assert domain.notes == {
        "duplicate judgement": 1,
        "query without text": 1,
        "query without judgements": 1,
        "query without a relevant document": 1,
        "query without candidates": 1,
        "judged query missing from the collection": 2,
        "duplicate document": 1,
        "document without text": 1,
        "candidate missing from the collection": 1,
    }


def test_missing_judged_documents_are_counted(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path, qrels={"q1": {"d1": 1, "d3": 0, "gone": 1}, "q2": {"gone": 1}}))
    assert domain.qrels == {"q1": {"d1": 1, "d3": 0}}
    assert domain.notes["judged document missing from the collection"] == 2
    assert domain.notes["query whose relevant documents are all missing"] == 1
    with pytest.raises(DataError, match="expected a document for most of the 3 judged documents, got none for 2"):
        load_domain(beir(tmp_path, qrels={"q1": {"d1": 1, "gone": 1}, "q2": {"gone": 1}}))


def test_query_whose_candidates_are_all_missing_is_dropped_and_counted(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path, run={"q1": ["d1", "d3", "d2"], "q2": ["gone"]}))
    assert set(domain.queries) == set(domain.qrels) == set(domain.pools) == {"q1"}
    assert domain.notes == {"candidate missing from the collection": 1, "query whose candidates are all missing": 1}


def test_too_many_documents_for_bm25_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MAX_DOCUMENTS", 2)
    with pytest.raises(DataError, match=r"expected at most 2 documents .*fix: give a run"):
        load_domain(beir(tmp_path))
    assert len(load_domain(beir(tmp_path, run=RUN)).documents) == 3


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared collections are not at {SHARED}")
def test_bm25_on_trec_dl_2019_matches_the_published_ndcg() -> None:
    folder = SHARED / "trec-dl-2019"
    domain = load_domain(spec(collection="beir", path=str(folder), run="bm25.run.trec"))
    rows = candidates(domain, list(domain.queries), 100)
    scores = {(q, d): score for _, q, d, score in read_run(folder / "bm25.run.trec")}
    values = NDCG(rows, domain.qrels).per_query(np.array([scores[p.query_id, p.document_id] for p in rows]))
    assert len(values) == 43
    assert values.mean() == pytest.approx(0.5058, abs=5e-5)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared collections are not at {SHARED}")
def test_other_shared_collections_load() -> None:
    noveleval = load_domain(spec(collection="beir", path=str(SHARED / "noveleval"), pool="judged"))
    assert {len(pool) for pool in noveleval.pools.values()} == {20}
    cranfield = load_domain(spec(collection="beir", path=str(SHARED / "cranfield"), binary=True))
    assert len(cranfield.queries) == 225
    assert len(cranfield.documents) + cranfield.notes["document without text"] == 1400
