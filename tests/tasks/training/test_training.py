"""Training in miniature: its result loads like a published checkpoint, it resumes after a kill, and its card is measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from coterie.tasks.collections.data_spec import DataSpec
from coterie.tasks.collections.splits import split_of
from coterie.tasks.collections.types import Domain
from coterie.tasks.errors import RecipeError, TrainingError
from coterie.tasks.registry import read_task_file
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.spec import RerankerSpec
from coterie.tasks.task_spec import RerankerTaskSpec
from coterie.tasks.training.adapter import AdapterTraining
from coterie.tasks.training.base import matching_batch
from coterie.tasks.training.card import interval
from coterie.tasks.training.data import training_data
from coterie.tasks.training.lora import mlp_modules
from coterie.tasks.training.spec import TrainingSpec
from coterie.tasks.training.state import CHECKPOINT
from coterie.tasks.training.train import train_task
from tests.tasks.tiny import save_collection, save_reranker

TINY = {
    "base": {"vocabulary": 600, "hidden": 16, "layers": 2, "heads": 2, "max_length": 24, "tokens_a_step": 256}
    | {"matching_steps": 60, "text_steps": 3},
    "rank": 2,
    "steps": 4,
    "queries_a_step": 4,
    "hard_negatives": 2,
    "evaluate_every": 2,
    "dev_queries": 4,
    "card_queries": 8,
}


def task_file(folder: Path, objective: str, **training: object) -> Path:
    """A task on a small collection, with a training section."""
    save_collection(folder, n_queries=200, n_documents=200, words=8, seed=0)
    spec = {
        "name": f"tiny/{objective}",
        "summary": "A tiny reranker.",
        "objective": objective,
        "reranker": {"base": "base", "adapter": "adapter", "template": {"max_length": 24}},
        "layer": 1,
        "data": {
            "source": {"collection": "beir", "path": ".", "name": "tiny"},
            "transfer": [{"collection": "beir", "path": ".", "name": "again"}],
            "candidates": 5,
            "random_candidates": 2,
            "source_trained": True,
            "queries": {"discovery": 4, "heldout": 8, "transfer": 8},
        },
        "training": {**TINY, **training},
    }
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def nothing(_step: int, _steps: int, _text: str) -> None: ...


@pytest.fixture(scope="module", params=["relevance", "cqtr"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp(request.param)
    spec, lines = read_task_file(task_file(folder, request.param)), []
    assert isinstance(spec, RerankerTaskSpec)
    base, adapter = str(folder / "base"), folder / "adapter"
    train_task(spec, base, adapter, ("base", "adapter", "card"), "cpu", lines.append, nothing, "task.yaml")
    return folder, lines


def test_result_is_a_task_that_loads(trained: tuple[Path, list[str]]) -> None:
    folder, _ = trained
    spec = read_task_file(folder / "task.yaml")
    assert isinstance(spec, RerankerTaskSpec)
    assert load_reranker(spec.reranker).model.config.num_labels == 1
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "../base"
    assert not (folder / "adapter" / CHECKPOINT).exists(), "done: nothing to resume"
    assert not list(folder.rglob("*.bin"))


def test_card_has_the_measured_figures(trained: tuple[Path, list[str]]) -> None:
    folder, lines = trained
    card = (folder / "adapter" / "README.md").read_text()
    measured = json.loads((folder / "adapter" / "card.json").read_text())
    assert "Made by `coterie train task.yaml`" in card
    assert "| BM25 order | " in card
    assert f"{measured['ndcg_at_10']['heldout']['reranker'][0]:.3f}" in card
    assert set(measured["whole_layer_drop"]) == {"0", "1"}
    assert measured["queries"] == {"heldout": 8, "again": 8}
    scalar = "cqtr" in str(folder)
    assert bool(measured["agreement"]) == scalar
    assert ("Spearman" in card) == scalar
    assert any(line.startswith("best: dev nDCG@10") for line in lines)


def data_of(
    folder: Path, objective: str = "relevance", **training: object
) -> tuple[RerankerSpec, DataSpec, TrainingSpec]:
    spec = read_task_file(task_file(folder, objective, **training))
    assert isinstance(spec, RerankerTaskSpec)
    assert spec.training is not None
    return save_reranker(folder, adapter=False), spec.data, spec.training


def loaded(data: DataSpec) -> Domain:
    from coterie.tasks.collections.loading import load_domain

    return load_domain(data.source)


def test_training_uses_no_judged_query_or_document(tmp_path: Path) -> None:
    _, data, recipe = data_of(tmp_path)
    source = training_data(loaded(data), data, "relevance", recipe)
    draw = np.random.default_rng(0)
    rows = [p for _ in range(50) for p in source.draw(recipe, draw)]
    assert {split_of(p.query_id) for p in rows} == {"train"}
    assert {split_of(p.document_id.replace("d", "q")) for p in rows} == {"train"}, "nor a judged query's document"
    assert {split_of(p.query_id) for p in source.dev} == {"dev"}
    firsts = rows[:: 1 + recipe.hard_negatives + recipe.random_negatives]
    assert all(p.grade == 1 for p in firsts)


def test_too_few_training_queries_are_refused(tmp_path: Path) -> None:
    _, data, recipe = data_of(tmp_path)
    with pytest.raises(RecipeError, match=r"training.queries_a_step: expected at most \d+, .*got 1000"):
        training_data(loaded(data), data, "relevance", recipe.model_copy(update={"queries_a_step": 1000}))


@pytest.mark.parametrize("objective", ["relevance", "cqtr"])
def test_accumulated_parts_equal_the_whole_step(objective: str, tmp_path: Path) -> None:
    spec, data, recipe = data_of(tmp_path, objective, steps=2)
    weights = []
    for parts in (1, 3):
        domain = training_data(loaded(data), data, objective, recipe)  # type: ignore[arg-type]
        folder = tmp_path / f"parts{parts}"
        AdapterTraining(spec, domain, recipe.model_copy(update={"accumulate": parts}), folder).run(lambda _line: None)
        weights.append(load_file(folder / "adapter_model.safetensors"))
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])


def test_mixed_precision_trains(tmp_path: Path) -> None:
    spec, data, recipe = data_of(tmp_path, precision="bfloat16")
    training = AdapterTraining(spec, training_data(loaded(data), data, "relevance", recipe), recipe, tmp_path / "out")
    training._at.untuned_ndcg, training._at.best_ndcg = 0.0, 0.0  # so that a trained state is the best
    training.run(lambda _line: None)
    saved = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert max(v.abs().max() for k, v in saved.items() if "lora_B" in k) > 0


def test_training_stops_early_and_keeps_the_best(tmp_path: Path) -> None:
    spec, data, recipe = data_of(tmp_path, steps=40, evaluate_every=1, patience=2, learning_rate=1e-12)
    lines: list[str] = []
    training = AdapterTraining(spec, training_data(loaded(data), data, "relevance", recipe), recipe, tmp_path / "out")
    training.run(lines.append)
    assert any(line.startswith("stopped at step 3: no better than") for line in lines)


KILLED = """
import sys
from pathlib import Path
from coterie.tasks.training import adapter
from tests.tasks.training.test_training import data_of, loaded, training_data
from coterie.tasks.rerankers.spec import RerankerSpec
folder = Path(sys.argv[1])
spec, data, recipe = data_of(folder, steps=4000, patience=5000)
training = adapter.AdapterTraining(spec, training_data(loaded(data), data, "relevance", recipe), recipe, folder / "out")
training.run(lambda line: print(line, flush=True))
"""


def test_killed_training_resumes(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(killed)],
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 600
    while not (killed / "out" / CHECKPOINT).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "killed in the middle"
    at = torch.load(killed / "out" / CHECKPOINT, weights_only=True)["at"]["step"]
    steps = at + 4

    weights = []
    for folder in (killed, whole):
        spec, data, recipe = data_of(folder, steps=4000, patience=5000)
        # the same training except for its end: the schedule is still that of 4,000 steps
        training = AdapterTraining(spec, training_data(loaded(data), data, "relevance", recipe), recipe, folder / "out")
        lines: list[str] = []
        training.steps_to_do = steps
        training.run(lines.append)
        assert (f"resumed at step {at}" in lines) == (folder is killed)
        weights.append(load_file(folder / "out" / "adapter_model.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    spec, data, recipe = data_of(tmp_path)
    domain = training_data(loaded(data), data, "relevance", recipe)
    first = AdapterTraining(spec, domain, recipe, tmp_path / "out")
    first._save_checkpoint()
    other = AdapterTraining(spec, domain, recipe.model_copy(update={"learning_rate": 1e-4}), tmp_path / "out")
    with pytest.raises(TrainingError, match=r"got one with a different specification.*fix: delete it"):
        other.run(lambda _line: None)


def test_tasks_that_cannot_be_trained_are_refused(tmp_path: Path) -> None:
    spec = read_task_file(task_file(tmp_path, "relevance"))
    assert isinstance(spec, RerankerTaskSpec)
    for changed, says in (
        (spec.model_copy(update={"training": None}), "expected a 'training' section"),
        (
            spec.model_copy(update={"data": spec.data.model_copy(update={"source_trained": False})}),
            "data.source_trained: expected true",
        ),
    ):
        with pytest.raises(TrainingError, match=says):
            train_task(changed, "base", tmp_path, ("card",), "cpu", print, nothing, "task.yaml")


def test_lora_targets_the_mlp_of_every_architecture(tmp_path: Path) -> None:
    found = {
        kind: mlp_modules(load_reranker(save_reranker(tmp_path / kind, kind, adapter=False)).model)
        for kind in ("llama", "gpt_neox", "gpt2", "opt", "bert", "phi3")
    }
    assert found["llama"] == ["mlp.down_proj", "mlp.gate_proj", "mlp.up_proj"]
    assert found["gpt_neox"] == ["mlp.dense_4h_to_h", "mlp.dense_h_to_4h"]
    assert found["gpt2"] == ["mlp.c_fc", "mlp.c_proj"]
    assert found["opt"] == ["fc1", "fc2"]
    assert found["bert"] == ["intermediate.dense", "output.dense"]
    assert found["phi3"] == ["mlp.down_proj", "mlp.gate_up_proj"]


def test_matching_targets_agree_with_the_tokens() -> None:
    generator = torch.Generator().manual_seed(0)
    ids, share, found = matching_batch(50, 4, 9, 600, generator)
    for row, expected_share, expected_found in zip(ids.tolist(), share.tolist(), found.tolist(), strict=True):
        query, document = row[1:5], row[6:15]
        assert expected_found == [float(t in query) for t in document]
        assert expected_share == pytest.approx(sum(t in document for t in query) / 4)
    assert share.min() == 0
    assert share.max() == 1


def test_interval_contains_the_mean() -> None:
    mean, low, high = interval(np.random.default_rng(1).normal(3, 1, 400))
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)
