"""Collections of every format: read back what was written, and what is wrong is told or counted."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from coterie.tasks.collections import loading
from coterie.tasks.collections.candidates import candidates
from coterie.tasks.collections.loading import load_domain, resolve, source_key
from coterie.tasks.collections.sources import read_run
from coterie.tasks.collections.specs import DomainSpec
from coterie.tasks.collections.types import Domain
from coterie.tasks.errors import DataError
from coterie.tasks.ndcg import NDCG

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "collections"
QUERIES = {"q1": "red apple", "q2": "blue sky"}
DOCUMENTS = {"d1": "an apple that is red", "d2": "the sky", "d3": "nothing of it"}
QRELS = {"q1": {"d1": 2, "d3": 0}, "q2": {"d2": 1}}
RUN = {"q1": ["d1", "d3"], "q2": ["d3", "d2"]}


def spec(**fields: Any) -> Any:
    return TypeAdapter(DomainSpec).validate_python(fields)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_bytes(text.encode())


def qrels_text(qrels: dict[str, dict[str, int]]) -> str:
    return "".join(f"{q} 0 {d} {g}\n" for q, judged in qrels.items() for d, g in judged.items())


def run_text(run: dict[str, list[str]]) -> str:
    return "".join(f"{q} Q0 {d} {i + 1} {10 - i} tag\n" for q, pool in run.items() for i, d in enumerate(pool))


def beir(
    folder: Path,
    queries: dict[str, str] = QUERIES,
    documents: dict[str, str] = DOCUMENTS,
    qrels: dict[str, dict[str, int]] = QRELS,
    run: dict[str, list[str]] | None = None,
    end: str = "",
) -> Any:
    write(folder / f"queries.jsonl{end}", "".join(json.dumps({"_id": q, "text": t}) + "\n" for q, t in queries.items()))
    write(
        folder / f"corpus.jsonl{end}", "".join(json.dumps({"_id": d, "text": t}) + "\n" for d, t in documents.items())
    )
    write(folder / f"qrels.trec{end}", qrels_text(qrels))
    if run is not None:
        write(folder / f"run.trec{end}", run_text(run))
    return spec(collection="beir", path=str(folder), run=None if run is None else "run.trec")


def trec(folder: Path, end: str = "") -> Any:
    write(folder / f"q.tsv{end}", "".join(f"{q}\t{t}\n" for q, t in QUERIES.items()))
    write(folder / f"d.tsv{end}", "".join(f"{d}\t{t}\n" for d, t in DOCUMENTS.items()))
    write(folder / f"qrels.txt{end}", qrels_text(QRELS))
    write(folder / f"run.txt{end}", run_text(RUN))
    names = {"queries": "q.tsv", "documents": "d.tsv", "qrels": "qrels.txt", "run": "run.txt"}
    return resolve(spec(collection="trec", **{field: name + end for field, name in names.items()}), folder)


def top1000(folder: Path, end: str = "") -> Any:
    rows = [f"{q}\t{d}\t{QUERIES[q]}\t{DOCUMENTS[d]}\n" for q, pool in RUN.items() for d in pool]
    write(folder / f"top.tsv{end}", "".join(rows))
    write(folder / f"qrels.txt{end}", qrels_text(QRELS))
    return resolve(spec(collection="msmarco-top1000", path=f"top.tsv{end}", qrels=f"qrels.txt{end}"), folder)


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("make", [lambda f, e: beir(f, run=RUN, end=e), trec, top1000])
def test_every_file_format_says_the_same(make: Any, end: str, tmp_path: Path) -> None:
    domain = load_domain(make(tmp_path, end))
    assert domain.queries == QUERIES
    assert domain.documents == DOCUMENTS
    assert domain.qrels == QRELS
    assert domain.pools == RUN
    assert domain.notes == {}


def test_ir_datasets_says_the_same(tmp_path: Path) -> None:
    ir_datasets = pytest.importorskip("ir_datasets", reason="the extra ir-datasets is not installed")
    from ir_datasets.datasets.base import Dataset
    from ir_datasets.formats import TrecQrels, TrecScoredDocs, TsvDocs, TsvQueries
    from ir_datasets.util import LocalDownload

    trec(tmp_path)
    place = {name: LocalDownload(tmp_path / name) for name in ("q.tsv", "d.tsv", "qrels.txt", "run.txt")}
    dataset = Dataset(
        TsvDocs(place["d.tsv"]),
        TsvQueries(place["q.tsv"]),
        TrecQrels(place["qrels.txt"], {0: "no", 1: "yes", 2: "very"}),
        TrecScoredDocs(place["run.txt"]),
    )
    if "coterie-tiny" not in ir_datasets.registry._registered:
        ir_datasets.registry.register("coterie-tiny", dataset)
    domain = load_domain(spec(collection="ir_datasets", id="coterie-tiny"))
    assert (domain.queries, domain.documents, domain.qrels, domain.pools) == (QUERIES, DOCUMENTS, QRELS, RUN)
    with pytest.raises(DataError, match="no/such: unknown to ir_datasets"):
        load_domain(spec(collection="ir_datasets", id="no/such"))


def test_hugging_face_folders(tmp_path: Path) -> None:
    rows = [{"query": "red apple", "positive": ["an apple that is red"], "negatives": ["the sky", "nothing"]}]
    write(tmp_path / "rows" / "test.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    domain = load_domain(
        spec(collection="huggingface", dataset=str(tmp_path / "rows"), positive="positive", negatives="negatives")
    )
    assert domain.queries == {"0": "red apple"}
    assert [domain.documents[d] for d in domain.pools["0"]] == ["an apple that is red", "the sky", "nothing"]
    assert [domain.documents[d] for d, grade in domain.qrels["0"].items() if grade] == ["an apple that is red"]
    with pytest.raises(DataError, match="expected a column 'good'"):
        load_domain(spec(collection="huggingface", dataset=str(tmp_path / "rows"), positive="good"))
    with pytest.raises(DataError, match="cannot be read"):
        load_domain(spec(collection="huggingface", dataset=str(tmp_path / "nowhere"), positive="good"))


def test_hugging_face_in_beirs_three_configurations(tmp_path: Path) -> None:
    beir(tmp_path)
    rows = [{"query-id": q, "corpus-id": d, "score": g} for q, judged in QRELS.items() for d, g in judged.items()]
    write(tmp_path / "qrels.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    places = [("corpus", "corpus"), ("queries", "queries"), ("qrels", "test")]
    configurations = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: {split}\n    path: {name}.jsonl\n" for name, split in places
    )
    write(tmp_path / "README.md", f"---\nconfigs:\n{configurations}---\n")
    domain = load_domain(spec(collection="huggingface", dataset=str(tmp_path)))
    assert (domain.queries, domain.documents, domain.qrels) == (QUERIES, DOCUMENTS, QRELS)
    write(tmp_path / "judged" / "test.jsonl", (tmp_path / "qrels.jsonl").read_text())
    elsewhere = spec(
        collection="huggingface", dataset=str(tmp_path), qrels_dataset=str(tmp_path / "judged"), qrels=None
    )
    assert load_domain(elsewhere).qrels == QRELS
    write(tmp_path / "corpus.jsonl", "no JSON at all")
    with pytest.raises(DataError, match="corpus: cannot be read"):
        load_domain(elsewhere)


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    str.strip
)
ids = st.text("abcdef0123456789-_.:", min_size=1, max_size=8)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(ids, texts, min_size=1, max_size=4), st.dictionaries(ids, texts, min_size=1, max_size=6), st.data()
)
def test_beir_reads_back_what_was_written(
    tmp_path: Path, queries: dict[str, str], documents: dict[str, str], data: st.DataObject
) -> None:
    qrels = {
        q: data.draw(st.dictionaries(st.sampled_from(sorted(documents)), st.integers(1, 3), min_size=1))
        for q in queries
    }
    domain = load_domain(beir(tmp_path, queries, documents, qrels))
    assert domain.queries == {q: t.strip() for q, t in queries.items()}
    assert domain.documents == {d: t.strip() for d, t in documents.items()}
    assert domain.qrels == qrels


def test_only_what_is_needed_is_kept(tmp_path: Path) -> None:
    many = {f"x{i}": "filler" for i in range(50)}
    source = beir(tmp_path, documents={**many, **DOCUMENTS}, run={"q1": ["d1", "d3"], "q2": ["x1", "x2", "x3"]})
    seen: list[str] = []
    domain = load_domain(source, lambda usable: seen.extend(usable) or ["q2"], depth=2)
    assert seen == ["q1", "q2"]
    assert set(domain.queries) == {"q2"}
    assert set(domain.documents) == {"x1", "x2", "d2"}, "two candidates, and the relevant document for training"
    assert domain.pools == {"q2": ["x1", "x2"]}


def test_grades_can_be_cut_and_made_binary(tmp_path: Path) -> None:
    source = beir(tmp_path)
    assert load_domain(source.model_copy(update={"relevant_from": 2})).qrels == {"q1": {"d1": 2, "d3": 0}}
    assert load_domain(source.model_copy(update={"binary": True})).qrels["q1"] == {"d1": 1, "d3": 0}


def test_judged_documents_as_candidates(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path).model_copy(update={"pool": "judged"}))
    assert {q: sorted(pool) for q, pool in domain.pools.items()} == {"q1": ["d1", "d3"], "q2": ["d2"]}


def test_which_of_many_judged_documents_are_candidates_says_nothing(tmp_path: Path) -> None:
    """Cut at a depth, they would otherwise be those whose ids sort first."""
    documents = {f"d{i}": "text" for i in range(100, 200)}
    qrels = {q: {d: int(d < "d150") for d in documents} for q in QUERIES}
    source = beir(tmp_path, documents=documents, qrels=qrels).model_copy(update={"pool": "judged"})
    domain = load_domain(source, depth=20)
    assert domain.pools == load_domain(source, depth=20).pools
    assert domain.pools["q1"] != domain.pools["q2"]
    assert all(2 <= sum(d < "d150" for d in pool) <= 18 for pool in domain.pools.values())


@pytest.mark.parametrize("first", ["q1\td1\t1.0\n", "query-id\tcorpus-id\tscore\nq1\td1\t1\n"])
def test_a_tsv_without_a_header_loses_no_judgement(first: str, tmp_path: Path) -> None:
    beir(tmp_path)
    (tmp_path / "qrels.trec").unlink()
    write(tmp_path / "qrels.tsv", first + "q2\td2\t1\n")
    assert load_domain(spec(collection="beir", path=str(tmp_path))).qrels == {"q1": {"d1": 1}, "q2": {"d2": 1}}
    write(tmp_path / "qrels.tsv", "q1\td1\thigh\n")
    with pytest.raises(DataError, match=r"qrels.tsv:1: grade: expected a whole number, got 'high'"):
        load_domain(spec(collection="beir", path=str(tmp_path)))


def test_gzip_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    source = beir(tmp_path)
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert load_domain(source).documents == DOCUMENTS


def test_one_id_with_two_texts_in_a_top_1000_file(tmp_path: Path) -> None:
    source = top1000(tmp_path)
    for again, says in (("q1\td3\tanother query\tx\n", "query 'q1'"), ("q2\td1\tblue sky\tother\n", "document 'd1'")):
        top1000(tmp_path)
        with (tmp_path / "top.tsv").open("a") as file:
            file.write(again)
        with pytest.raises(DataError, match=rf"top.tsv:5: {says}: another text stands at .*:1"):
            load_domain(source)


def test_white_space_around_a_text_is_taken_off_in_every_format(tmp_path: Path) -> None:
    source = trec(tmp_path)
    write(tmp_path / "q.tsv", "q1\t red apple \nq2\tblue sky\n")
    assert load_domain(source).queries == QUERIES


def test_pydoc_has_judgements_of_its_own() -> None:
    with pytest.raises(ValueError, match="expected none of them for pydoc"):
        spec(collection="pydoc", domain="pandas", relevant_from=2)


def test_rows_with_something_else_than_texts(tmp_path: Path) -> None:
    rows = [{"query": "apple", "positive": ["red"], "negatives": ["sky"]}, {"query": "sky", "positive": ["sky"]}]
    write(tmp_path / "good" / "test.jsonl", "".join(json.dumps({"negatives": ["red"], **row}) + "\n" for row in rows))
    fields = {"collection": "huggingface", "positive": "positive", "negatives": "negatives"}
    domain = load_domain(spec(dataset=str(tmp_path / "good"), **fields))
    assert sorted(domain.documents.values()) == ["red", "sky"]
    assert domain.notes == {}, "texts that rows share are no repeated lines"
    write(
        tmp_path / "bad" / "test.jsonl", json.dumps({"query": "q", "positive": ["a", None], "negatives": ["b"]}) + "\n"
    )
    with pytest.raises(DataError, match="positive: expected a text or a list of texts"):
        load_domain(spec(dataset=str(tmp_path / "bad"), **fields))


def test_a_hub_dataset_is_known_by_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"a/b": "1" * 40, "a/c": "2" * 40}
    monkeypatch.setattr("huggingface_hub.dataset_info", lambda name: type("Info", (), {"sha": told[name]}))
    source = spec(collection="huggingface", dataset="a/b", qrels_dataset="a/c")
    assert source_key(source) == ["1" * 40, "2" * 40]
    assert source_key(source.model_copy(update={"revision": "3" * 40})) == ["3" * 40, "2" * 40]

    def unreachable(name: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.dataset_info", unreachable)
    with pytest.raises(DataError, match="a/b: the hub does not tell its newest revision: no network; fix: name a rev"):
        source_key(source)


def test_without_ir_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(DataError, match=r"pip install 'coterie\[ir-datasets\]'"):
        load_domain(spec(collection="ir_datasets", id="vaswani"))


def test_a_query_that_is_not_there_is_named(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path, run=RUN))
    with pytest.raises(DataError, match="query 'q9' is not there or has no candidates"):
        candidates(domain, ["q1", "q9"], 2)


def test_beir_tsv_judgements_with_a_header_and_titles(tmp_path: Path) -> None:
    beir(tmp_path)
    (tmp_path / "qrels.trec").unlink()
    write(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2\n")
    write(tmp_path / "corpus.jsonl", json.dumps({"_id": "d1", "title": "A title", "text": ""}) + "\n")
    domain = load_domain(spec(collection="beir", path=str(tmp_path)))
    assert domain.qrels == {"q1": {"d1": 2}}
    assert domain.documents == {"d1": "A title"}


def test_crlf_and_byte_order_mark_are_taken_off(tmp_path: Path) -> None:
    source = beir(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    domain = load_domain(source)
    assert (domain.queries, domain.documents, domain.qrels) == (QUERIES, DOCUMENTS, QRELS)


def test_ties_of_a_run_are_those_of_trec_eval(tmp_path: Path) -> None:
    source = beir(tmp_path, run=RUN)
    write(tmp_path / "run.trec", "q1 Q0 d1 1 5 t\nq1 Q0 d3 2 5 t\nq1 Q0 d2 3 7 t\nq2 Q0 d2 1 1 t\n")
    assert load_domain(source).pools["q1"] == ["d2", "d3", "d1"], "by score, then by document id, descending"


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        (
            "corpus.jsonl",
            '{"_id": "d1", "text": "a"}\n{"_id": "d1", "text": "b"}\n',
            r"corpus.jsonl:2: document 'd1': another",
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
        ("qrels.trec", "q1 0 d1\n", r"qrels.trec:1: expected 4 columns by white space .*, got 3"),
        ("qrels.trec", "q1 0 d1 high\n", r"qrels.trec:1: grade: expected a whole number, got 'high'"),
        ("qrels.trec", "q1 0 d1 1.5\n", r"qrels.trec:1: grade: expected a whole number"),
        ("run.trec", "q1 Q0 d1 1 nan t\n", r"run.trec:1: expected a finite score, got nan"),
        ("run.trec", "q1 Q0 d1 1 inf t\n", r"run.trec:1: expected a finite score, got inf"),
        ("run.trec", "q1 Q0 d1 1 ten t\n", r"run.trec:1: expected a score, got 'ten'"),
        ("run.trec", "q1 d1 1\n", r"run.trec:1: expected 6 columns"),
        (
            "run.trec",
            "q1 Q0 a 1 3 t\nq1 Q0 b 1 2 t\nq1 Q0 d1 1 1 t\n",
            r"2 of the 3 candidates are not among its documents",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(file: str, text: str, says: str, tmp_path: Path) -> None:
    source = beir(tmp_path, run=RUN)
    write(tmp_path / file, text)
    with pytest.raises(DataError, match=says):
        load_domain(source)


def test_another_encoding_and_broken_gzip(tmp_path: Path) -> None:
    source = beir(tmp_path)
    (tmp_path / "corpus.jsonl").write_bytes(b'{"_id": "d1", "text": "a"}\n{"_id": "d2", "text": "caf\xe9"}\n')
    with pytest.raises(DataError, match=r"corpus.jsonl:2: expected UTF-8, got byte 0xe9 at column 27; fix: iconv"):
        load_domain(source)
    (tmp_path / "corpus.jsonl").unlink()
    whole = gzip.compress(json.dumps({"_id": "d1", "text": "a" * 5000}).encode())
    for broken in (whole[:-9], b"no gzip at all"):
        (tmp_path / "corpus.jsonl.gz").write_bytes(broken)
        with pytest.raises(DataError, match="expected a whole gzip file"):
            load_domain(source)
    (tmp_path / "corpus.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"expected corpus.jsonl \(or .gz\) there, got none"):
        load_domain(source)


def test_lines_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coterie.tasks.collections.files.LONGEST_LINE", 100)
    with pytest.raises(DataError, match=r"corpus.jsonl:1: expected lines of at most 100 bytes"):
        load_domain(beir(tmp_path, documents={"d1": "x" * 200}))


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
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
        "judgement that stands twice": 1,
        "query without text": 1,
        "query without a judgement": 1,
        "query without a relevant document": 1,
        "query without a candidate": 1,
        "judged query that the collection lacks": 2,
        "document that stands twice": 1,
        "document without text": 1,
        "candidate that the collection lacks": 1,
    }


def test_judged_documents_that_the_collection_lacks_are_counted(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path, qrels={"q1": {"d1": 1, "d3": 0, "gone": 1}, "q2": {"gone": 1}}))
    assert domain.qrels == {"q1": {"d1": 1, "d3": 0}}
    assert domain.notes["judged document that the collection lacks"] == 2
    assert domain.notes["query whose relevant documents the collection lacks"] == 1
    with pytest.raises(DataError, match="2 of the 3 judged documents are not among its documents"):
        load_domain(beir(tmp_path, qrels={"q1": {"d1": 1, "gone": 1}, "q2": {"gone": 1}}))


def test_a_query_all_of_whose_candidates_are_lacking_is_counted(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path, run={"q1": ["d1", "d3", "d2"], "q2": ["gone"]}))
    assert set(domain.queries) == set(domain.qrels) == set(domain.pools) == {"q1"}
    assert domain.notes == {"candidate that the collection lacks": 1, "query whose candidates the collection lacks": 1}


def test_bm25_over_too_many_documents_asks_for_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MOST_DOCUMENTS", 2)
    with pytest.raises(DataError, match=r"more than 2 documents, .*fix: give a run"):
        load_domain(beir(tmp_path))
    assert len(load_domain(beir(tmp_path, run=RUN)).documents) == 3


def test_the_key_changes_with_the_files(tmp_path: Path) -> None:
    source = beir(tmp_path)
    before = source_key(source)
    assert source_key(source) == before
    write(tmp_path / "qrels.trec", qrels_text({"q1": {"d1": 1}}))
    assert source_key(source) != before


def test_the_key_changes_with_files_outside_the_folder(tmp_path: Path) -> None:
    source = beir(tmp_path / "folder").model_copy(update={"run": "../run.trec"})
    write(tmp_path / "run.trec", run_text(RUN))
    before = source_key(source)
    write(tmp_path / "run.trec", run_text({"q1": ["d3"]}))
    assert source_key(source) != before


def test_a_run_is_re_ranked_as_it_is(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path, run=RUN))
    rows = candidates(domain, ["q2"], 1)
    assert [(p.document_id, p.grade) for p in rows] == [("d3", 0)], "the relevant one was not the best of the run"


def test_random_candidates_and_many_relevant_ones() -> None:
    documents = {f"d{i:02}": f"apple {'pie ' * i}" for i in range(30)}
    domain = Domain("d", {"q": "apple"}, documents, {"q": {f"d{i:02}": 1 for i in range(8)}})
    plain, mixed = ({p.document_id for p in candidates(domain, ["q"], 10, random_candidates=n)} for n in (0, 4))
    assert len(plain) == len(mixed) == 10
    for chosen in (plain, mixed):
        assert sum(d < "d08" for d in chosen) == 5, "of eight relevant ones, half as many as there are candidates"
    assert plain != mixed
    assert mixed == {p.document_id for p in candidates(domain, ["q"], 10, random_candidates=4)}


def test_ndcg_counts_relevant_documents_outside_the_pool(tmp_path: Path) -> None:
    domain = load_domain(beir(tmp_path, run={"q1": ["d1", "d3"], "q2": ["d3"]}))
    rows = candidates(domain, ["q1", "q2"], 5)
    assert NDCG(rows, domain.qrels).per_query(np.array([2.0, 1.0, 1.0])).tolist() == [1.0, 0.0]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared collections are not at {SHARED}")
def test_bm25_on_trec_dl_2019_is_what_is_published() -> None:
    folder = SHARED / "trec-dl-2019"
    domain = load_domain(spec(collection="beir", path=str(folder), run="bm25.run.trec"))
    rows = candidates(domain, list(domain.queries), 100)
    scores = {(q, d): score for _, q, d, score in read_run(folder / "bm25.run.trec")}
    values = NDCG(rows, domain.qrels).per_query(np.array([scores[p.query_id, p.document_id] for p in rows]))
    assert len(values) == 43
    assert values.mean() == pytest.approx(0.5058, abs=5e-5)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the shared collections are not at {SHARED}")
def test_the_other_shared_collections_load() -> None:
    noveleval = load_domain(spec(collection="beir", path=str(SHARED / "noveleval"), pool="judged"))
    assert {len(pool) for pool in noveleval.pools.values()} == {20}
    cranfield = load_domain(spec(collection="beir", path=str(SHARED / "cranfield"), binary=True))
    assert len(cranfield.queries) == 225
    assert len(cranfield.documents) + cranfield.notes["document without text"] == 1400
