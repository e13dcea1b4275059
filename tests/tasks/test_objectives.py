"""Objectives: values and levels of pairs, agreement with scores, and constant objectives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from coterie.tasks.collections.types import Candidate
from coterie.tasks.errors import DataError
from coterie.tasks.objectives import agreement, refuse_constant, with_objective
from coterie.tasks.registry import read_task_file
from coterie.tasks.reranker_task import plan_reranker_task
from coterie.tasks.task_spec import RerankerTaskSpec
from tests.tasks.tiny import save_collection, save_reranker

DOCUMENTS = ["red apple pie", "green apple", "blue sky, blue sky: SKY"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path / "cache"))


def pairs() -> list[Candidate]:
    texts = ["red apple pie", "green apple", "blue sky"]
    return [Candidate("q", str(i), "red apple", text, int(i == 0)) for i, text in enumerate(texts)]


def test_relevance_leaves_the_pairs_unchanged() -> None:
    rows, edges = with_objective(pairs(), "relevance", DOCUMENTS)
    assert rows == pairs()
    assert edges is None
    assert [p.objective for p in rows] == [1.0, 0.0, 0.0]


def test_scalar_objective_sets_value_and_grade() -> None:
    rows, edges = with_objective(pairs(), "cqtr", DOCUMENTS)
    assert [p.objective for p in rows] == [1.0, 0.5, 0.0]
    assert [p.grade for p in rows] == [4, 2, 0]
    assert edges is not None
    again, same = with_objective(pairs()[1:], "cqtr", DOCUMENTS, edges)
    assert [p.grade for p in again] == [2, 0], "the edges given are used, not those of these pairs"
    assert same is edges


def test_agreement_ignores_the_units_of_the_scores() -> None:
    rows, _ = with_objective(pairs(), "cqtr", DOCUMENTS)
    r2, spearman = agreement(np.array([30.0, 20.0, 10.0]), rows)
    assert r2 == pytest.approx(1)
    assert spearman == pytest.approx(1)
    assert agreement(np.array([10.0, 20.0, 30.0]), rows)[1] == pytest.approx(-1)
    assert np.isnan(agreement(np.zeros(3), rows)).all()


@pytest.mark.parametrize("values", ["0", "1"])
def test_constant_scalar_objective_is_refused_when_planning(values: str, tmp_path: Path) -> None:
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
    assert isinstance(task, RerankerTaskSpec)
    with pytest.raises(
        DataError, match=f"objective cqtr: expected .* got {values} for all 20 of discovery, {values} for"
    ):
        plan_reranker_task(task)


def test_constant_relevance_is_refused_when_planning(tmp_path: Path) -> None:
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
        plan_reranker_task(RerankerTaskSpec.model_validate(values))


def test_constant_splits_are_returned_unless_all_are_constant() -> None:
    def rows(*values: float) -> list[Candidate]:
        return [Candidate("q", f"d{i}", "", "", 0, value) for i, value in enumerate(values)]

    assert refuse_constant("cqtr", {"discovery": rows(0, 1), "heldout": rows(0.5, 0.5)}) == [("heldout", 0.5)]
    assert refuse_constant("cqtr", {"discovery": rows(0, 1)}) == []
    with pytest.raises(DataError, match=r"got 0.5 for all 2 of heldout, 1 for all 1 of two"):
        refuse_constant("cqtr", {"heldout": rows(0.5, 0.5), "two": rows(1.0)})
