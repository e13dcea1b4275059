"""Unusual tasks that the schema allows: no transfer domains, domains named like folders, constant objectives, odd paths."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore
from tests.tasks.tiny import save_collection, save_reranker

NAMES = ("NFCorpus", "My_Other Data", "Ünïcode 日本", "v1.0")


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def task(folder: Path, transfer: tuple[str, ...] = (), **fields: Any) -> Path:
    """A task file over BEIR folders of these names."""
    checkpoint = save_reranker(folder, "bert", adapter=False, layers=2)
    for seed, name in enumerate(("own", *transfer)):
        save_collection(folder / name, n_queries=40, n_documents=60, words=9, seed=seed)
    values = {
        "name": "my/own",
        "summary": "Mine.",
        "reranker": {"base": checkpoint.base, "template": {"max_length": 32}},
        "layer": 0,
        "data": {
            "source": {"collection": "beir", "path": "own"},
            "candidates": 4,
            "queries": {"discovery": 12, "heldout": 12, "transfer": 12},
        },
        **fields,
    }
    if transfer:
        values["data"]["transfer"] = [{"collection": "beir", "path": name} for name in transfer]
    (folder / "task.yaml").write_text(yaml.safe_dump(values, allow_unicode=True))
    return folder / "task.yaml"


def invoke(*arguments: object) -> str:
    """The output of a command that must succeed."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 0, result.output
    return result.output


def finished(path: Path, out: Path) -> list[Record]:
    """The records of two methods, all with status ok."""
    methods = ("-m", "random[max_size=4]", "-m", "kmeans-weights[n_clusters=6]")
    invoke("run", "-t", path, *methods, "--seeds", 1, "--output-folder", out, "--executor", "inline")
    records = RecordStore(out).scan().records
    assert [record.status for record in records] == ["ok", "ok"]
    return records


def test_without_transfer_domains_their_metrics_have_a_reason_and_no_rank(tmp_path: Path) -> None:
    path, out = task(tmp_path), tmp_path / "out"
    records = finished(path, out)
    for record in records:
        missing = {m.key: m for m in record.scores if m.domain == "transfer"}
        assert set(missing) == {"ndcg_drop/transfer", "ood_r2/transfer"}
        for measure in missing.values():
            assert (measure.value, measure.primary) == (None, False)
            assert measure.reason == "the task has no transfer domain (data.transfer)"
        heldout = record.score("ndcg_drop/heldout")
        assert heldout is not None
        assert heldout.value is not None
    board = json.loads((out / "leaderboard.json").read_text())
    assert [row["mean_rank"] for row in board["overall"]["rows"]] != [None, None], (
        "ranked by the metrics that were measured"
    )
    assert "transfer" not in {column["domain"] for column in board["overall"]["columns"]}

    assert "heldout" in invoke("info", path)
    invoke("inspect", RecordStore(out).path_for(records[0]), "--task", path, "--output-folder", out)
    invoke("leaderboard", "--output-folder", out)
    invoke("leaderboard", "build", "--from", out, "--site", tmp_path / "site")
    invoke("history", "my/own", "random", "--output-folder", out)
    refused = CliRunner().invoke(app, ["submit", str(out), "-m", "random[max_size=4]"])
    assert refused.exit_code in (1, 2), refused.output
    assert refused.exception is None or isinstance(refused.exception, SystemExit)


def test_domains_are_named_after_their_folders(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    out = tmp_path / "out"
    records = finished(task(tmp_path, NAMES), out)
    for record in records:
        for name in NAMES:
            measure = record.score(f"ndcg_drop/{name}")
            assert measure is not None
            assert measure.value is not None
            assert record.task.queries[name] == 12
    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("coterie")
    assert experiment is not None
    cells = [run for run in client.search_runs([experiment.experiment_id]) if run.data.tags["coterie.kind"] == "cell"]
    assert len(cells) == 2
    for cell in cells:
        drops = [
            name for name in cell.data.metrics if name.startswith("ndcg_drop/") and not name.endswith(("low", "high"))
        ]
        assert len(drops) == 2 + len(NAMES)
        assert "coterie.left_out" not in cell.data.tags
        assert {"ndcg_drop/NFCorpus", "ndcg_drop/My_Other Data", "ndcg_drop/v1.0"} < set(drops)
    page = (out / "index.html").read_text()
    for name in NAMES:
        assert name in page
    invoke("leaderboard", "build", "--from", out, "--site", tmp_path / "site")
    invoke("sync", out, "--tracking-uri", f"sqlite:///{tmp_path / 'other.db'}", "--quiet")


def flatten(folder: Path) -> None:
    """Replace the documents with others that share no term with any query."""
    rows = [{"_id": f"d{i}", "text": f"quite other words number{i}"} for i in range(60)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_split_with_a_constant_objective_has_no_correlation_and_says_why(tmp_path: Path) -> None:
    path = task(tmp_path, ("flat", "other"), objective="cqtr")
    flatten(tmp_path / "flat")
    for record in finished(path, tmp_path / "out"):
        assert set(record.task.r2) == set(record.task.spearman) == {"discovery", "heldout", "other"}
        (note,) = [warning for warning in record.task.warnings if warning.startswith("flat: ")]
        assert note == "flat: 48 x pair with the same cqtr, 0: no R2, no Spearman, nothing to rank"
        measure = record.score("ood_r2/flat")
        assert measure is not None
        assert measure.reason == "not finite: the target does not vary on these queries"


def test_an_objective_that_is_constant_everywhere_is_refused_before_any_work(tmp_path: Path) -> None:
    path = task(tmp_path, objective="mean-tf-l")
    flatten(tmp_path / "own")
    result = CliRunner().invoke(app, ["run", "-t", str(path), "-m", "random", "--output-folder", str(tmp_path / "out")])
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(
        f"error: {path}: objective mean-tf-l: expected query-document pairs with different values, got 0 for all 48 of"
    )


def test_paths_may_contain_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "dir[1] [bold]"
    folder.mkdir()
    path = task(folder, ("hf", "other"))
    rows = [{"query": f"apple {i}", "good": f"apple {i} kite", "bad": [f"brick {i}", f"cloud {i}"]} for i in range(12)]
    shutil.rmtree(folder / "hf")
    (folder / "hf").mkdir()
    (folder / "hf" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = yaml.safe_load(path.read_text())
    values["data"]["transfer"][0] = {
        "collection": "huggingface",
        "dataset": "hf",
        "positive": "good",
        "negatives": "bad",
    }
    path.write_text(yaml.safe_dump(values))
    records = finished(path, folder / "out[2]")
    assert {record.task.queries["hf"] for record in records} == {12}
    printed = " ".join(invoke("leaderboard", "--output-folder", folder / "out[2]").split())
    assert str(folder / "out[2]" / "leaderboard.md") in printed
    assert "my/own[layer=1]" in invoke("info", f"{path}[layer=1]")
