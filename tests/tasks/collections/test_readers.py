"""Readers: every format reads back what was written to it."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coterie.tasks.collections.loading import load_domain
from coterie.tasks.errors import DataError
from tests.tasks.collections.made import DOCUMENTS, QRELS, QUERIES, RUN, beir, spec, top1000, trec, write


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("make", [lambda f, e: beir(f, run=RUN, end=e), trec, top1000])
def test_every_file_format_yields_the_same_domain(make: Any, end: str, tmp_path: Path) -> None:
    domain = load_domain(make(tmp_path, end))
    assert domain.queries == QUERIES
    assert domain.documents == DOCUMENTS
    assert domain.qrels == QRELS
    assert domain.pools == RUN
    assert domain.notes == {}


def test_ir_datasets_yields_the_same_domain(tmp_path: Path) -> None:
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


def test_missing_ir_datasets_package_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(DataError, match=r"pip install 'coterie\[ir-datasets\]'"):
        load_domain(spec(collection="ir_datasets", id="vaswani"))


def test_hugging_face_rows_are_read_from_a_folder(tmp_path: Path) -> None:
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


def test_hugging_face_configurations_are_read_as_beir(tmp_path: Path) -> None:
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
    write(tmp_path / "corpus.jsonl", "not JSON")
    with pytest.raises(DataError, match="corpus: cannot be read"):
        load_domain(elsewhere)


def test_hugging_face_row_with_a_missing_text_is_refused(tmp_path: Path) -> None:
    rows = [{"query": "apple", "positive": ["red"], "negatives": ["sky"]}, {"query": "sky", "positive": ["sky"]}]
    write(tmp_path / "good" / "test.jsonl", "".join(json.dumps({"negatives": ["red"], **row}) + "\n" for row in rows))
    fields = {"collection": "huggingface", "positive": "positive", "negatives": "negatives"}
    domain = load_domain(spec(dataset=str(tmp_path / "good"), **fields))
    assert sorted(domain.documents.values()) == ["red", "sky"]
    assert domain.notes == {}, "texts shared by rows are not duplicates"
    write(
        tmp_path / "bad" / "test.jsonl", json.dumps({"query": "q", "positive": ["a", None], "negatives": ["b"]}) + "\n"
    )
    with pytest.raises(DataError, match="positive: expected a text or a list of texts"):
        load_domain(spec(dataset=str(tmp_path / "bad"), **fields))


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


@pytest.mark.parametrize("first", ["q1\td1\t1.0\n", "query-id\tcorpus-id\tscore\nq1\td1\t1\n"])
def test_tsv_judgements_are_read_with_and_without_a_header(first: str, tmp_path: Path) -> None:
    beir(tmp_path)
    (tmp_path / "qrels.trec").unlink()
    write(tmp_path / "qrels.tsv", first + "q2\td2\t1\n")
    assert load_domain(spec(collection="beir", path=str(tmp_path))).qrels == {"q1": {"d1": 1}, "q2": {"d2": 1}}
    write(tmp_path / "qrels.tsv", "q1\td1\thigh\n")
    with pytest.raises(DataError, match=r"qrels.tsv:1: grade: expected a whole number, got 'high'"):
        load_domain(spec(collection="beir", path=str(tmp_path)))


def test_title_is_the_text_of_a_document_with_an_empty_text(tmp_path: Path) -> None:
    beir(tmp_path)
    (tmp_path / "qrels.trec").unlink()
    write(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2\n")
    write(tmp_path / "corpus.jsonl", json.dumps({"_id": "d1", "title": "A title", "text": ""}) + "\n")
    domain = load_domain(spec(collection="beir", path=str(tmp_path)))
    assert domain.qrels == {"q1": {"d1": 2}}
    assert domain.documents == {"d1": "A title"}


def test_gzip_is_recognised_by_its_first_bytes(tmp_path: Path) -> None:
    source = beir(tmp_path)
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert load_domain(source).documents == DOCUMENTS


def test_id_with_two_texts_in_a_top_1000_file_is_refused(tmp_path: Path) -> None:
    source = top1000(tmp_path)
    for row, expected in (("q1\td3\tanother query\tx\n", "query 'q1'"), ("q2\td1\tblue sky\tother\n", "document 'd1'")):
        top1000(tmp_path)
        with (tmp_path / "top.tsv").open("a") as file:
            file.write(row)
        with pytest.raises(DataError, match=rf"top.tsv:5: {expected}: expected the text of .*:1, got a different one"):
            load_domain(source)


def test_white_space_around_a_tsv_text_is_removed(tmp_path: Path) -> None:
    source = trec(tmp_path)
    write(tmp_path / "q.tsv", "q1\t red apple \nq2\tblue sky\n")
    assert load_domain(source).queries == QUERIES


def test_crlf_and_byte_order_mark_are_removed(tmp_path: Path) -> None:
    source = beir(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    domain = load_domain(source)
    assert (domain.queries, domain.documents, domain.qrels) == (QUERIES, DOCUMENTS, QRELS)


def test_other_encoding_and_broken_gzip_are_refused(tmp_path: Path) -> None:
    source = beir(tmp_path)
    (tmp_path / "corpus.jsonl").write_bytes(b'{"_id": "d1", "text": "a"}\n{"_id": "d2", "text": "caf\xe9"}\n')
    with pytest.raises(DataError, match=r"corpus.jsonl:2: expected UTF-8, got byte 0xe9 at column 27; fix: iconv"):
        load_domain(source)
    (tmp_path / "corpus.jsonl").unlink()
    whole = gzip.compress(json.dumps({"_id": "d1", "text": "a" * 5000}).encode())
    for broken in (whole[:-9], b"not gzip"):
        (tmp_path / "corpus.jsonl.gz").write_bytes(broken)
        with pytest.raises(DataError, match="expected a complete gzip file"):
            load_domain(source)
    (tmp_path / "corpus.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"expected corpus.jsonl \(or .gz\) in this folder, got none"):
        load_domain(source)


def test_overlong_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coterie.tasks.collections.files.MAX_LINE_BYTES", 100)
    with pytest.raises(DataError, match=r"corpus.jsonl:1: expected lines of at most 100 bytes"):
        load_domain(beir(tmp_path, documents={"d1": "x" * 200}))
