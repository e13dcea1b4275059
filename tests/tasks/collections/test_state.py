"""The key of a collection changes with every file that its reader may read, wherever that file is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from coterie.tasks.collections import state
from coterie.tasks.collections.specs import BeirSource, IrDatasetsSource
from coterie.tasks.collections.state import source_key
from coterie.tasks.errors import DataError
from coterie.tasks.registry import read_task_file
from coterie.tasks.reranker_task import RerankerTaskPlan, plan_reranker_task
from coterie.tasks.task_spec import RerankerTaskSpec
from tests.tasks.collections.made import RUN, beir, qrels_text, run_text, spec, write
from tests.tasks.tiny import save_collection, save_reranker

QUERIES = {"discovery": 5, "heldout": 5}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_reranker(tmp_path_factory.mktemp("base"), "bert", adapter=False, layers=1).base


def plan(base: str, folder: Path, source: dict[str, object]) -> RerankerTaskPlan:
    """The plan of a task file in `folder` over this source."""
    values = {
        "name": "a/task",
        "summary": "",
        "reranker": {"base": base, "template": {"max_length": 64}},
        "layer": 0,
        "data": {"source": source, "candidates": 4, "queries": QUERIES},
    }
    (folder / "task.yaml").write_text(yaml.safe_dump(values))
    task = read_task_file(folder / "task.yaml")
    assert isinstance(task, RerankerTaskSpec)
    return plan_reranker_task(task)


def documents(plan: RerankerTaskPlan) -> set[str]:
    return {pair.document for rows in plan.pairs.values() for pair in rows}


def replace_word(path: Path, keep_times: bool = False) -> None:
    """Replace a file by a new one with a different text of the same size."""
    before, other = path.stat(), path.with_suffix(".new")
    other.write_text(path.read_text().replace("apple", "ipple"))
    if keep_times:
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_size == before.st_size


def assert_edited(before: RerankerTaskPlan, after: RerankerTaskPlan) -> None:
    """Check that the second plan reads only edited documents, and the first none."""
    found = " ".join(documents(before)), " ".join(documents(after))
    assert ["apple" in texts.split() for texts in found] == [True, False]
    assert ["ipple" in texts.split() for texts in found] == [False, True]


@pytest.mark.parametrize("linked", ["collection", "above", "file"])
def test_edit_behind_a_link_changes_the_plan(linked: str, base: str, tmp_path: Path) -> None:
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


def test_edit_behind_a_linked_subfolder_changes_the_plan(base: str, tmp_path: Path) -> None:
    save_collection(tmp_path / "own", n_queries=12, n_documents=40, words=20, seed=0)
    (tmp_path / "judged").mkdir()
    (tmp_path / "own" / "qrels.trec").rename(tmp_path / "judged" / "test.tsv")
    (tmp_path / "own" / "qrels").symlink_to(tmp_path / "judged", target_is_directory=True)
    source = {"collection": "beir", "path": "own"}
    before = plan(base, tmp_path, source)
    (tmp_path / "judged" / "test.tsv").write_text("".join(f"q{i} 0 d{i + 12} 1\n" for i in range(12)))
    after = plan(base, tmp_path, source)

    def relevant(found: RerankerTaskPlan) -> dict[str, str]:
        return {p.query_id: p.document_id for rows in found.pairs.values() for p in rows if p.grade}

    assert relevant(before) == {q: f"d{q[1:]}" for q in relevant(before)}
    assert relevant(after) == {q: f"d{int(q[1:]) + 12}" for q in relevant(after)}


def test_link_with_a_new_target_changes_the_plan(base: str, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        save_collection(tmp_path / name, n_queries=12, n_documents=40, words=20, seed=seed)
    (tmp_path / "now").symlink_to(tmp_path / "one", target_is_directory=True)
    source = {"collection": "beir", "path": "now"}
    before = plan(base, tmp_path, source)
    (tmp_path / "now").unlink()
    (tmp_path / "now").symlink_to(tmp_path / "two", target_is_directory=True)
    assert documents(plan(base, tmp_path, source)).isdisjoint(documents(before))


def test_plain_file_takes_precedence_over_a_gzipped_one(base: str, tmp_path: Path) -> None:
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


def test_judgements_outside_the_folder_change_the_plan(base: str, tmp_path: Path) -> None:
    save_collection(tmp_path / "own", n_queries=12, n_documents=40, words=20, seed=0)
    (tmp_path / "own" / "qrels.trec").rename(tmp_path / "judged.txt")
    source: dict[str, object] = {"collection": "beir", "path": "own", "qrels": "../judged.txt"}
    before = plan(base, tmp_path, source)
    (tmp_path / "judged.txt").write_text("".join(f"q{i} 0 d{i} 2\n" for i in range(12)))
    after = plan(base, tmp_path, source)
    assert [{p.grade for rows in found.pairs.values() for p in rows} for found in (before, after)] == [{0, 1}, {0, 2}]


@pytest.mark.parametrize("place", ["nested/linked", "outside"])
def test_files_of_a_hugging_face_folder_change_the_plan_inside_and_outside_it(
    place: str, base: str, tmp_path: Path
) -> None:
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


def test_replacing_a_large_file_changes_the_key_even_with_the_same_size_and_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "MAX_HASHED_BYTES", 10)
    save_collection(tmp_path, n_queries=12, n_documents=40, words=20, seed=0)
    source = BeirSource(collection="beir", path=str(tmp_path))
    before = source_key(source)
    assert source_key(source) == before
    replace_word(tmp_path / "corpus.jsonl", keep_times=True)
    assert source_key(source) != before


def test_circular_links_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    assert [path.name for path in state._files_below(tmp_path / "a")] == ["file"]


def test_key_changes_with_the_version_of_ir_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    source = IrDatasetsSource(collection="ir_datasets", id="vaswani")
    found = []
    for version in ("0.5.10", "0.5.11"):
        monkeypatch.setattr("importlib.metadata.version", lambda _name, version=version: version)
        found.append(source_key(source))
    assert found[0] != found[1]


def test_key_changes_with_the_files(tmp_path: Path) -> None:
    source = beir(tmp_path)
    before = source_key(source)
    assert source_key(source) == before
    write(tmp_path / "qrels.trec", qrels_text({"q1": {"d1": 1}}))
    assert source_key(source) != before


def test_key_changes_with_files_outside_the_folder(tmp_path: Path) -> None:
    source = beir(tmp_path / "folder").model_copy(update={"run": "../run.trec"})
    write(tmp_path / "run.trec", run_text(RUN))
    before = source_key(source)
    write(tmp_path / "run.trec", run_text({"q1": ["d3"]}))
    assert source_key(source) != before


def test_key_of_a_hub_dataset_is_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    revisions = {"a/b": "1" * 40, "a/c": "2" * 40}
    monkeypatch.setattr("huggingface_hub.dataset_info", lambda name: type("Info", (), {"sha": revisions[name]}))
    source = spec(collection="huggingface", dataset="a/b", qrels_dataset="a/c")
    assert source_key(source) == ["1" * 40, "2" * 40]
    assert source_key(source.model_copy(update={"revision": "3" * 40})) == ["3" * 40, "2" * 40]

    def unreachable(name: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.dataset_info", unreachable)
    with pytest.raises(
        DataError, match="a/b: cannot get its newest revision from the hub: no network; fix: give a rev"
    ):
        source_key(source)
