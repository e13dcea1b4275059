"""What a task file may say of its data: counts of queries, whole numbers, names, and objectives that vary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from coterie.tasks.collections.candidates import BM25
from coterie.tasks.collections.data_spec import DataSpec, split_queries
from coterie.tasks.collections.types import Candidate, Domain
from coterie.tasks.errors import DataError, TaskFileError
from coterie.tasks.objectives import refuse_constant
from coterie.tasks.registry import get_task_spec, read_task_file
from coterie.tasks.task import TaskSpec, plan_task
from tests.tasks.tiny import save_collection, save_reranker


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path / "cache"))


DOMAIN = {"collection": "pydoc", "domain": "pandas"}


def data(queries: dict[str, Any] | None = None, **more: Any) -> DataSpec:
    transfer = [{**DOMAIN, "name": name} for name in ("one", "two")]
    return DataSpec.model_validate({"source": DOMAIN, "transfer": transfer, "queries": queries or {}, **more})


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        (3, {"one": 3, "two": 3}),
        ("all", {"one": 7, "two": 7}),
        ("at most 5", {"one": 5, "two": 5}),
        ("at most 50", {"one": 7, "two": 7}),
        ({"one": 2, "two": "all"}, {"one": 2, "two": 7}),
    ],
)
def test_queries_of_transfer_domains(asked: Any, taken: dict[str, int]) -> None:
    spec = data({"transfer": asked})
    found = {name: split_queries(spec, name, [f"q{i}" for i in range(7)])[name] for name in ("one", "two")}
    assert {name: len(ids) for name, ids in found.items()} == taken
    assert all(ids == sorted(set(ids), key=ids.index) for ids in found.values())


@pytest.mark.parametrize("asked", [8, {"one": 8, "two": 2}])
def test_too_few_queries_are_told_with_both_numbers(asked: Any) -> None:
    with pytest.raises(DataError, match=r"data.queries: one has 7 queries, 8 asked for; fix: ask for fewer"):
        split_queries(data({"transfer": asked}), "one", [f"q{i}" for i in range(7)])
    with pytest.raises(DataError, match="one has 1 queries, 2 asked for; fix: another collection"):
        split_queries(data({"transfer": "all"}), "one", ["q"])


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (1, "expected a whole number from 2 on, 'all' or 'at most 2' and more"),
        (True, "expected a whole number from 2 on"),
        (3.0, "expected a whole number from 2 on"),
        ("43", "expected a whole number from 2 on"),
        ("at most 1", "expected a whole number from 2 on"),
        ({"one": 5, "two": False}, "two: expected a whole number"),
        ({"one": 5, "three": 5}, r"for each of \['one', 'two'\], got some for \['one', 'three'\]"),
        ({"one": 5}, r"for each of \['one', 'two'\], got some for \['one'\]"),
    ],
)
def test_counts_that_are_none(asked: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        data({"transfer": asked})


def test_pairs_are_counted_for_the_memory() -> None:
    queries = {"discovery": 3, "heldout": 4}
    assert data({**queries, "transfer": 5}, candidates=6).most_pairs() == 6 * (3 + 4 + 5 + 5)
    assert data({**queries, "transfer": {"one": 5, "two": 9}}, candidates=6).most_pairs() == 6 * (3 + 4 + 5 + 9)
    every = data({**queries, "transfer": {"one": 5, "two": "all"}}, candidates=6)
    assert every.most_queries() == {"discovery": 3, "heldout": 4, "one": 5, "two": None}
    assert every.most_pairs({"two": 40}) == 6 * (3 + 4 + 5 + 40)


def task_file(folder: Path, text: str) -> Path:
    """A task file with these lines among others; ``data`` is the last."""
    path = folder / "task.yaml"
    head = "name: a/task\nsummary: x\nreranker: {base: somewhere}\n"
    layer = "" if "layer:" in text else "layer: 1\n"
    rest = "" if "data:" in text else "data: {source: {collection: pydoc, domain: pandas}}\n"
    path.write_text(head + layer + text + rest)
    return path


SOURCE = "data:\n  source: {collection: pydoc, domain: pandas}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("layer: true\n", "4: layer: Input should be a valid integer, got True"),
        ("layer: 1.0\n", "4: layer: Input should be a valid integer, got 1.0"),
        ('layer: "1"\n', "4: layer: Input should be a valid integer, got '1'"),
        ("layers: [1, true]\n", "5: layers.1: Input should be a valid integer, got True"),
        (f"{SOURCE}  candidates: true\n", "7: data.candidates: Input should be a valid integer"),
        (f"{SOURCE}  queries: {{heldout: 20.0}}\n", "7: data.queries.heldout: Input should be a valid integer"),
        (f"{SOURCE}  document_words: '9'\n", "7: data.document_words: Input should be a valid integer"),
        (f"{SOURCE}  source_trained: 1\n", "7: data.source_trained: expected true or false"),
        (
            "data:\n  source: {collection: beir, path: x, relevant_from: true}\n",
            "6: data.source.relevant_from: Input should be a valid integer",
        ),
        (
            f"{SOURCE}  candidates: 10\n  random_candidates: 12\n",
            "8: data.random_candidates: expected fewer than candidates, 10",
        ),
        (f"{SOURCE}  random_candidates: 10\n", "7: data.random_candidates: expected fewer than candidates, 10"),
        (
            f"{SOURCE}  transfer: [{{collection: pydoc, domain: mlflow, name: heldout}}]\n",
            "7: data.transfer: expected dom",
        ),
        (
            f"{SOURCE}  transfer: [{{collection: pydoc, domain: mlflow, name: transfer}}]\n",
            "7: data.transfer: expected",
        ),
        (f"{SOURCE}  transfer: [{{collection: pydoc, domain: mlflow, name: a/b}}]\n", "without '/'"),
        (
            f"{SOURCE}  queries: {{transfer: {{pandas: 5}}}}\n",
            "7: data.queries: transfer: expected a number of queries",
        ),
        ("layer: 1\nlayer: 2\n", "5: layer: expected once, stands twice"),
    ],
)
def test_refused_with_file_and_line(text: str, says: str, tmp_path: Path) -> None:
    path = task_file(tmp_path, text)
    with pytest.raises(TaskFileError) as error:
        read_task_file(path)
    assert str(error.value).startswith(f"{path}:")
    assert says in str(error.value).removeprefix(f"{path}:")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("My Task", "my-task"),
        ("a/b/c", "a/b"),
        (".hidden", "hidden"),
        ("ä", "my-task"),
        ("a/task[layer=1]", "a/task-layer-1"),
        ("x" * 65, "x" * 64),
    ],
)
def test_one_rule_for_names(name: str, fix: str, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(f"summary: x\nname: {json.dumps(name)}\n")
    with pytest.raises(TaskFileError) as error:
        read_task_file(tmp_path / "task.yaml")
    assert "task.yaml:2: name: expected letters, digits" in str(error.value)
    assert f"(fix: {fix}), got {name!r}" in str(error.value)


@pytest.mark.parametrize("name", ["a", "My/Task", "Qwen/Qwen3-Reranker-0.6B", "a_b.c-d/e", "a/b[layer=1,queries=3]"])
def test_tasks_records_and_folders_follow_the_same_rule(name: str) -> None:
    from coterie.tasks.config.names import task_name
    from coterie.tracking.record import is_name

    assert task_name(name) == name
    assert is_name(name)


def test_names_that_are_no_task_are_no_records_either() -> None:
    from coterie.tasks.config.names import task_name
    from coterie.tracking.record import is_name

    for name in ("My Task", "a/b/c", ".a", "", "a/", "a[x y]", "a" * 65, "a\n"):
        assert not is_name(name)
        with pytest.raises(ValueError, match="expected letters"):
            task_name(name)


def test_home_is_expanded_wherever_a_path_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    save_collection(tmp_path / "home" / "own", n_queries=4, n_documents=9, words=5, seed=0)
    (tmp_path / "home" / "base").mkdir()
    text = (
        "name: a/b\nsummary: x\nlayer: 1\nreranker: {base: ~/base, adapter: ~/adapter}\ndata:\n"
        "  source: {collection: beir, path: ~/own, qrels: ~/own/qrels.trec, run: ~/run.trec}\n"
        "  transfer:\n  - {collection: huggingface, dataset: ~/hf}\n"
        "  - {collection: trec, queries: ~/q.tsv, documents: ~/d.tsv, qrels: ~/qrels.txt}\n"
    )
    (tmp_path / "home" / "task.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    spec = get_task_spec("~/task.yaml[layer=2]")
    assert isinstance(spec, TaskSpec)
    home = str(tmp_path / "home")
    assert spec.layer == 2
    assert (spec.reranker.base, spec.reranker.adapter) == (f"{home}/base", f"{home}/adapter")
    assert "~" not in json.dumps(spec.model_dump(mode="json")["data"])
    assert spec.data.source.files()[0] == Path(home, "own", "queries.jsonl")
    (tmp_path / "home" / "task.yaml").write_text(text.replace("~/own,", "~nobody-of-this-name/own,"))
    with pytest.raises(TaskFileError, match=r"task.yaml:6: data.source.path: expected a path, ~ for your home"):
        get_task_spec("~/task.yaml")


def test_brackets_in_a_path(tmp_path: Path) -> None:
    (tmp_path / "dir[1]").mkdir()
    path = task_file(tmp_path / "dir[1]", "")
    assert get_task_spec(str(path)).name == "a/task"
    assert get_task_spec(f"{path}[layer=3,queries=5]").name == "a/task[layer=3,queries=5]"


@pytest.mark.parametrize("values", ["0", "1"])
def test_an_objective_that_is_constant_everywhere_is_refused_before_work(values: str, tmp_path: Path) -> None:
    """All documents hold the whole query, or nothing of it: the share of covered terms is 1, or 0, for every pair."""
    tiny = save_reranker(tmp_path, "bert", adapter=False, layers=1)
    save_collection(tmp_path / "own", n_queries=12, n_documents=20, words=9, seed=0)
    words = {"0": "quite other things", "1": "apple brick cloud"}[values]
    rows = [{"_id": f"q{i}", "text": "apple brick cloud"} for i in range(12)]
    (tmp_path / "own" / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    documents = [{"_id": f"d{i}", "text": f"{words} number{i}"} for i in range(20)]
    (tmp_path / "own" / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents))
    spec = {
        "name": "a/b",
        "summary": "",
        "objective": "cqtr",
        "layer": 0,
        "reranker": {"base": tiny.base},
        "data": {
            "source": {"collection": "beir", "path": "own"},
            "candidates": 4,
            "queries": {"discovery": 5, "heldout": 5},
        },
    }
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(spec))
    task = read_task_file(tmp_path / "task.yaml")
    assert isinstance(task, TaskSpec)
    with pytest.raises(
        DataError, match=f"objective cqtr: expected .* got {values} for all 20 of discovery, {values} for"
    ):
        plan_task(task)


def test_judgements_of_one_grade_alone_are_refused_too(tmp_path: Path) -> None:
    tiny = save_reranker(tmp_path, "bert", adapter=False, layers=1)
    save_collection(tmp_path / "own", n_queries=12, n_documents=20, words=9, seed=0)
    source = {"collection": "beir", "path": str(tmp_path / "own"), "pool": "judged"}
    queries = {"discovery": 5, "heldout": 5}
    values = {
        "name": "a/b",
        "summary": "",
        "layer": 0,
        "reranker": tiny,
        "data": {"source": source, "queries": queries},
    }
    with pytest.raises(
        DataError, match=r"objective relevance: .* got 1 for all 5 of discovery, 1 for all 5 of heldout"
    ):
        plan_task(TaskSpec.model_validate(values))


def test_a_constant_split_is_named_and_all_of_them_refused() -> None:
    def rows(*values: float) -> list[Candidate]:
        return [Candidate("q", f"d{i}", "", "", 0, value) for i, value in enumerate(values)]

    assert refuse_constant("cqtr", {"discovery": rows(0, 1), "heldout": rows(0.5, 0.5)}) == [("heldout", 0.5)]
    assert refuse_constant("cqtr", {"discovery": rows(0, 1)}) == []
    with pytest.raises(DataError, match=r"got 0.5 for all 2 of heldout, 1 for all 1 of two"):
        refuse_constant("cqtr", {"heldout": rows(0.5, 0.5), "two": rows(1.0)})


def test_documents_without_a_term() -> None:
    domain = Domain("signs", {"q": "apple"}, {"d1": "! ?", "d2": "the of and", "d3": "a b"}, {"q": {"d1": 1}})
    with pytest.raises(
        DataError, match=r"domain 'signs': expected documents with terms for BM25 .* in its 3 documents"
    ):
        BM25(domain)
