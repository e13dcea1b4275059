"""A user's tasks, and the paper's in their published layout, from task file to leaderboard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.tasks.registry import list_tasks
from coterie.tracking.store import RecordStore
from tests.tasks.tiny import save_collection, save_reranker

PAPER = {"llama-3.1-8b": "llama", "mistral-7b": "mistral", "pythia-6.9b": "gpt_neox"}


def collection(folder: Path, seed: int, run: bool = True) -> None:
    """A BEIR folder of 60 queries, with a run of six candidates per query if `run`."""
    save_collection(folder, n_queries=60, n_documents=90, words=9, seed=seed)
    if run:
        rows = [(f"q{i}", f"d{(i + k) % 90}", k) for i in range(60) for k in range(6)]
        (folder / "run.trec").write_text("".join(f"{q} Q0 {d} {k + 1} {9 - k} t\n" for q, d, k in rows))


def run(task: Path, output: Path, *more: str) -> tuple[int, str]:
    arguments = [
        "run",
        "-t",
        str(task),
        "-m",
        "random[max_size=4]",
        "--seeds",
        "1",
        "--output-folder",
        str(output),
        "--executor",
        "inline",
        *more,
    ]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


@pytest.mark.parametrize("objective", ["relevance", "cqtr", "mean-tf-l"])
@pytest.mark.parametrize("family", PAPER)
def test_the_papers_tasks_run_on_tiny_checkpoints_in_the_same_layout(
    family: str, objective: str, tmp_path: Path
) -> None:
    """The task file unchanged except that folders replace the hub and MS MARCO, and layer 1 of 3 replaces layer 10."""
    spec = yaml.safe_load(list_tasks()[f"{family}/{objective}"].read_text())
    checkpoint = save_reranker(tmp_path / "hub", PAPER[family])
    spec["reranker"] |= {"base": checkpoint.base, "adapter": checkpoint.adapter}
    spec |= {"layer": 1, "layers": [1]}
    names = [spec["data"]["source"]["name"], *(d["name"] for d in spec["data"]["transfer"])]
    for i, name in enumerate(names):
        collection(tmp_path / name, i)
    of = [{"collection": "beir", "path": name, "run": "run.trec", "name": name} for name in names]
    queries = {"discovery": 12, "heldout": 12, "transfer": 12}
    spec["data"] |= {"source": of[0], "transfer": of[1:], "candidates": 6, "queries": queries}
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(spec))

    code, output = run(tmp_path / "task.yaml", tmp_path / "out")
    assert code == 0, output
    (record,) = RecordStore(tmp_path / "out").scan().records
    assert record.status == "ok"
    assert record.task.intervention == "base"
    assert set(record.task.ndcg_at_10) == {"discovery", "heldout", "trec-dl-2019", "trec-dl-2020"}
    assert bool(record.task.spearman) == (objective != "relevance")
    assert record.task.attention == "sdpa"


def test_a_task_without_its_hub_fails_in_one_line_before_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = CliRunner().invoke(
        app, ["run", "-t", "pydoc-llama/relevance", "-t", "mistral-7b/cqtr", "--output-folder", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: mistralai/Mistral-7B-v0.1: expected a folder, or a hub id")
    assert not (tmp_path / "out").exists(), "no work has started"
    info = CliRunner().invoke(app, ["info", "mistral-7b/cqtr"])
    assert info.exit_code == 0
    assert "Needs the hub, MS MARCO and a GPU" in " ".join(info.output.split())
    assert "not available" in info.output


def test_a_model_that_does_not_fit_says_so_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from coterie.tasks.rerankers.size import RerankerSize

    size = RerankerSize("llama", 80, 8192, 28672, 70_000_000_000, 280_000_000_000_000)
    monkeypatch.setattr("coterie.tasks.task_check.describe", lambda _spec: size)
    result = CliRunner().invoke(app, ["run", "-t", "llama-3.1-8b/cqtr", "--output-folder", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "280.0 TB of weights" in result.stderr
    assert "fix: a device or machine with" in result.stderr, "no setting of the data makes these weights fit"
    assert not (tmp_path / "out").exists()


def test_a_limit_on_memory_is_checked_before_any_work(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    arguments = ["run", "-t", "pydoc-llama/relevance", "-m", "random", "--output-folder", output]
    result = CliRunner().invoke(app, [*arguments, "--memory-limit", "300MB"])
    assert result.exit_code == 2
    assert "into the 300.0 MB of --memory-limit, got one that needs" in result.stderr
    assert "data.candidates: " in result.stderr
    assert not (tmp_path / "out").exists()


def test_info_shows_size_memory_and_time(tmp_path: Path) -> None:
    collection(tmp_path / "own", 0, run=False)
    checkpoint = save_reranker(tmp_path, "gpt2", adapter=False)
    spec = {
        "name": "my/own",
        "summary": "Mine.",
        "reranker": {"base": checkpoint.base, "template": {"max_length": 32}},
        "layer": 1,
        "data": {
            "source": {"collection": "beir", "path": "own"},
            "candidates": 5,
            "queries": {"discovery": 10, "heldout": 10},
        },
    }
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(spec))
    text = " ".join(CliRunner().invoke(app, ["info", str(tmp_path / "task.yaml")]).output.split())
    for words in (
        "gpt2, 3 layers, d_model 16, 24 neurons per layer",
        "own (beir)",
        "heldout 10 queries, 50 pairs",
        "GFLOP/s",
        "of weights",
        "of affinities",
    ):
        assert words in text


def test_the_record_names_what_was_left_out_of_a_collection(tmp_path: Path) -> None:
    for name in ("own", "other"):
        collection(tmp_path / name, 0)
    with (tmp_path / "own" / "queries.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "q99", "text": "never judged"}) + "\n")
    checkpoint = save_reranker(tmp_path)
    spec = {
        "name": "my/own",
        "summary": "Mine.",
        "reranker": {"base": checkpoint.base, "adapter": checkpoint.adapter, "template": {"max_length": 32}},
        "layer": 1,
        "data": {
            "source": {"collection": "beir", "path": "own", "run": "run.trec"},
            "transfer": [{"collection": "beir", "path": "other", "run": "run.trec"}],
            "candidates": 5,
            "queries": {"discovery": 10, "heldout": 10, "transfer": 10},
        },
    }
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(spec))
    assert run(tmp_path / "task.yaml", tmp_path / "out")[0] == 0
    (record,) = RecordStore(tmp_path / "out").scan().records
    assert "own: 1 x query without judgements" in record.task.warnings

    (tmp_path / "own" / "qrels.trec").write_text("q1 0 d1\n")
    code, output = run(tmp_path / "task.yaml", tmp_path / "out")
    assert code == 2
    assert "qrels.trec:1: expected 4 columns" in output


def test_a_task_runs_after_its_training(tmp_path: Path) -> None:
    from tests.tasks.training.test_training import task_file

    path = task_file(tmp_path, "cqtr")
    trained = CliRunner().invoke(app, ["train", str(path), "--device", "cpu"])
    assert trained.exit_code == 0, trained.output
    assert f"coterie run -t {path}" in trained.output
    assert (tmp_path / "adapter" / "train.log").read_text().startswith("base: ")
    assert run(path, tmp_path / "out")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["planted/backup"], "expected a reranker's task"),
        (
            ["pydoc-llama/relevance", "--stage", "bass"],
            "expected base, adapter, card, got 'bass'; did you mean 'base'?",
        ),
        (["nothing.yaml"], "cannot be read"),
    ],
)
def test_a_training_that_cannot_start_is_refused(arguments: list[str], says: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", *arguments, "--folder", str(tmp_path)])
    assert result.exit_code == 2
    assert says in result.stderr
