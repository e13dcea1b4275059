"""The cache key of a collection follows whatever its reader follows: an edit is seen, wherever the file stands."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from coterie.tasks.collections import state
from coterie.tasks.collections.specs import BeirSource, IrDatasetsSource
from coterie.tasks.collections.state import source_key
from coterie.tasks.registry import read_task_file
from coterie.tasks.task import TaskPlan, TaskSpec, plan_task
from tests.tasks.tiny import save_collection, save_reranker

QUERIES = {"discovery": 5, "heldout": 5}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_reranker(tmp_path_factory.mktemp("base"), "bert", adapter=False, layers=1).base


def plan(base: str, folder: Path, source: dict[str, object]) -> TaskPlan:
    """The task over this source, as its file stands in ``folder``."""
    values = {
        "name": "a/task",
        "summary": "",
        "reranker": {"base": base, "template": {"max_length": 64}},
        "layer": 0,
        "data": {"source": source, "candidates": 4, "queries": QUERIES},
    }
    (folder / "task.yaml").write_text(yaml.safe_dump(values))
    spec = read_task_file(folder / "task.yaml")
    assert isinstance(spec, TaskSpec)
    return plan_task(spec)


def documents(found: TaskPlan) -> set[str]:
    return {pair.document for rows in found.pairs.values() for pair in rows}


def replace_word(path: Path, keep_times: bool = False) -> None:
    """Another text of the same size, written to a new file that takes the old one's place."""
    before, other = path.stat(), path.with_suffix(".new")
    other.write_text(path.read_text().replace("apple", "ipple"))
    if keep_times:
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_size == before.st_size


def assert_edited(before: TaskPlan, after: TaskPlan) -> None:
    """Every document that the second plan reads is one after the edit."""
    found = " ".join(documents(before)), " ".join(documents(after))
    assert ["apple" in texts.split() for texts in found] == [True, False]
    assert ["ipple" in texts.split() for texts in found] == [False, True]


@pytest.mark.parametrize("linked", ["collection", "above", "file"])
def test_an_edit_behind_a_link_is_seen(linked: str, base: str, tmp_path: Path) -> None:
    real = tmp_path / "real" / "nested"
    save_collection(real, n_queries=12, n_documents=40, words=20, seed=0)
    if linked == "file":
        (tmp_path / "own").mkdir()
        for path in real.iterdir():
            (tmp_path / "own" / path.name).symlink_to(path)
        place = "own"
    else:
        place = "link" if linked == "collection" else "link/nested"
        (tmp_path / "link").symlink_to(real if linked == "collection" else real.parent, target_is_directory=True)
    source = {"collection": "beir", "path": place}
    before = plan(base, tmp_path, source)
    replace_word(real / "corpus.jsonl", keep_times=True)
    after = plan(base, tmp_path, source)
    assert_edited(before, after)
    assert before.fingerprint != after.fingerprint


def test_an_edit_behind_a_linked_folder_of_a_collection_is_seen(base: str, tmp_path: Path) -> None:
    save_collection(tmp_path / "own", n_queries=12, n_documents=40, words=20, seed=0)
    (tmp_path / "judged").mkdir()
    (tmp_path / "own" / "qrels.trec").rename(tmp_path / "judged" / "test.tsv")
    (tmp_path / "own" / "qrels").symlink_to(tmp_path / "judged", target_is_directory=True)
    source = {"collection": "beir", "path": "own"}
    before = plan(base, tmp_path, source)
    (tmp_path / "judged" / "test.tsv").write_text("".join(f"q{i} 0 d{i + 12} 1\n" for i in range(12)))
    after = plan(base, tmp_path, source)

    def relevant(found: TaskPlan) -> dict[str, str]:
        return {p.query_id: p.document_id for rows in found.pairs.values() for p in rows if p.grade}

    assert relevant(before) == {q: f"d{q[1:]}" for q in relevant(before)}
    assert relevant(after) == {q: f"d{int(q[1:]) + 12}" for q in relevant(after)}


def test_a_link_that_leads_elsewhere_is_seen(base: str, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        save_collection(tmp_path / name, n_queries=12, n_documents=40, words=20, seed=seed)
    (tmp_path / "now").symlink_to(tmp_path / "one", target_is_directory=True)
    source = {"collection": "beir", "path": "now"}
    before = plan(base, tmp_path, source)
    (tmp_path / "now").unlink()
    (tmp_path / "now").symlink_to(tmp_path / "two", target_is_directory=True)
    assert documents(plan(base, tmp_path, source)).isdisjoint(documents(before))


def test_a_plain_file_takes_the_place_of_a_zipped_one(base: str, tmp_path: Path) -> None:
    import gzip

    save_collection(tmp_path / "own", n_queries=12, n_documents=40, words=20, seed=0)
    plain = tmp_path / "own" / "corpus.jsonl"
    (tmp_path / "own" / "corpus.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    text = plain.read_text()
    plain.unlink()
    source = {"collection": "beir", "path": "own"}
    before = plan(base, tmp_path, source)
    plain.write_text(text.replace("apple", "ipple"))
    assert_edited(before, plan(base, tmp_path, source))


def test_judgements_outside_of_the_folder(base: str, tmp_path: Path) -> None:
    save_collection(tmp_path / "own", n_queries=12, n_documents=40, words=20, seed=0)
    (tmp_path / "own" / "qrels.trec").rename(tmp_path / "judged.txt")
    source: dict[str, object] = {"collection": "beir", "path": "own", "qrels": "../judged.txt"}
    before = plan(base, tmp_path, source)
    (tmp_path / "judged.txt").write_text("".join(f"q{i} 0 d{i} 2\n" for i in range(12)))
    after = plan(base, tmp_path, source)
    assert [{p.grade for rows in found.pairs.values() for p in rows} for found in (before, after)] == [{0, 1}, {0, 2}]


@pytest.mark.parametrize("place", ["nested/linked", "outside"])
def test_a_hugging_face_folder_with_files_in_and_out_of_it(place: str, base: str, tmp_path: Path) -> None:
    real = tmp_path / "real"
    save_collection(real, n_queries=12, n_documents=40, words=20, seed=0)
    queries = {q["_id"]: q["text"] for q in map(json.loads, (real / "queries.jsonl").read_text().splitlines())}
    texts = {d["_id"]: d["text"] for d in map(json.loads, (real / "corpus.jsonl").read_text().splitlines())}
    rows = [
        {"query": queries[f"q{i}"], "good": texts[f"d{i}"], "bad": [texts[f"d{i + 12}"], texts[f"d{i + 13}"]]}
        for i in range(12)
    ]
    (real / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "hf" / "nested").mkdir(parents=True)
    (tmp_path / "hf" / "nested" / "linked").symlink_to(real, target_is_directory=True)
    pattern = "nested/linked/rows.jsonl" if place != "outside" else str(real / "row*.jsonl")
    (tmp_path / "hf" / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: '{pattern}'\n---\n"
    )
    if place == "outside":
        (tmp_path / "hf" / "nested" / "linked").unlink()
    source: dict[str, object] = {
        "collection": "huggingface",
        "dataset": "hf",
        "positive": "good",
        "negatives": "bad",
    }
    before = plan(base, tmp_path, source)
    replace_word(real / "rows.jsonl", keep_times=True)
    assert_edited(before, plan(base, tmp_path, source))


def test_a_large_file_that_is_replaced_with_the_same_size_and_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_HASHED", 10)
    save_collection(tmp_path, n_queries=12, n_documents=40, words=20, seed=0)
    source = BeirSource(collection="beir", path=str(tmp_path))
    before = source_key(source)
    assert source_key(source) == before
    replace_word(tmp_path / "corpus.jsonl", keep_times=True)
    assert source_key(source) != before


def test_folders_that_are_linked_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    assert [path.name for path in state._below(tmp_path / "a")] == ["file"]


def test_the_version_of_ir_datasets_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    source = IrDatasetsSource(collection="ir_datasets", id="vaswani")
    found = []
    for version in ("0.5.10", "0.5.11"):
        monkeypatch.setattr("importlib.metadata.version", lambda _name, version=version: version)
        found.append(source_key(source))
    assert found[0] != found[1]
