"""The `data` section of a task file, and paths in it: what is accepted, and how the rest is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coterie.tasks.errors import TaskFileError
from coterie.tasks.registry import get_task_spec, read_task_file
from coterie.tasks.task_spec import RerankerTaskSpec
from tests.tasks.tiny import save_collection

SOURCE = "data:\n  source: {collection: pydoc, domain: pandas}\n"


def task_file(folder: Path, text: str) -> Path:
    """A task file with these lines among others; `data` is the last."""
    path = folder / "task.yaml"
    head = "name: a/task\nsummary: x\nreranker: {base: somewhere}\n"
    layer = "" if "layer:" in text else "layer: 1\n"
    rest = "" if "data:" in text else "data: {source: {collection: pydoc, domain: pandas}}\n"
    path.write_text(head + layer + text + rest)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layer: true\n", "4: layer: expected a whole number, got True"),
        ("layer: 1.0\n", "4: layer: expected a whole number, got 1.0"),
        ('layer: "1"\n', "4: layer: expected a whole number, got '1'"),
        ("layers: [1, true]\n", "5: layers.1: expected a whole number, got True"),
        (f"{SOURCE}  candidates: true\n", "7: data.candidates: expected a whole number"),
        (f"{SOURCE}  queries: {{heldout: 20.0}}\n", "7: data.queries.heldout: expected a whole number"),
        (f"{SOURCE}  document_words: '9'\n", "7: data.document_words: expected a whole number"),
        (f"{SOURCE}  source_trained: 1\n", "7: data.source_trained: expected true or false"),
        (
            "data:\n  source: {collection: beir, path: x, relevant_from: true}\n",
            "6: data.source.relevant_from: expected a whole number",
        ),
        (
            f"{SOURCE}  candidates: 10\n  random_candidates: 12\n",
            "8: data.random_candidates: expected fewer than candidates, 10",
        ),
        (f"{SOURCE}  random_candidates: 10\n", "7: data.random_candidates: expected fewer than candidates, 10"),
        (
            f"{SOURCE}  transfer: [{{collection: pydoc, domain: mlflow, name: heldout}}]\n",
            "7: data.transfer: expected domains with different names",
        ),
        (
            f"{SOURCE}  transfer: [{{collection: pydoc, domain: mlflow, name: transfer}}]\n",
            "7: data.transfer: expected",
        ),
        (f"{SOURCE}  transfer: [{{collection: pydoc, domain: mlflow, name: a/b}}]\n", "without '/'"),
        (
            f"{SOURCE}  queries: {{transfer: {{pandas: 5}}}}\n",
            "7: data.queries: transfer: expected one count for each",
        ),
        ("layer: 1\nlayer: 2\n", "5: layer: expected once, got twice"),
    ],
)
def test_invalid_field_is_refused_with_file_and_line(text: str, expected: str, tmp_path: Path) -> None:
    path = task_file(tmp_path, text)
    with pytest.raises(TaskFileError) as error:
        read_task_file(path)
    assert str(error.value).startswith(f"{path}:")
    assert expected in str(error.value).removeprefix(f"{path}:")
    assert "\n" not in str(error.value)


def test_home_is_expanded_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert isinstance(spec, RerankerTaskSpec)
    home = str(tmp_path / "home")
    assert spec.layer == 2
    assert (spec.reranker.base, spec.reranker.adapter) == (f"{home}/base", f"{home}/adapter")
    assert "~" not in json.dumps(spec.model_dump(mode="json")["data"])
    assert spec.data.source.files()[0] == Path(home, "own", "queries.jsonl")
    (tmp_path / "home" / "task.yaml").write_text(text.replace("~/own,", "~nobody-of-this-name/own,"))
    with pytest.raises(TaskFileError, match=r"task.yaml:6: data.source.path: expected a path, ~ for your home"):
        get_task_spec("~/task.yaml")


def test_path_with_brackets_is_not_a_selector(tmp_path: Path) -> None:
    (tmp_path / "dir[1]").mkdir()
    path = task_file(tmp_path / "dir[1]", "")
    assert get_task_spec(str(path)).name == "a/task"
    assert get_task_spec(f"{path}[layer=3,queries=5]").name == "a/task[layer=3,queries=5]"
