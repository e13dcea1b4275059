"""`coterie train`: errors before any training, with file and line; progress lines; resumption."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from coterie.benchmark.cli.main import app
from coterie.benchmark.commands import train as train_command
from coterie.benchmark.commands.train import Lines
from coterie.tasks.training import train
from coterie.tasks.training.base import has_base
from coterie.tasks.training.state import CHECKPOINT
from tests.tasks.tiny import save_reranker
from tests.tasks.training.test_training import task_file

WEIGHTS = "adapter_model.safetensors"


def coterie_train(path: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["train", str(path), "--device", "cpu", *more])


def changed(path: Path, **fields: object) -> Path:
    """Change fields of a task file, given by their names with `__` for dots."""
    spec = yaml.safe_load(path.read_text())
    for name, value in fields.items():
        *way, last = name.split("__")
        section = spec
        for step in way:
            section = section[step]
        section[last] = value
    path.write_text(yaml.safe_dump(spec))
    return path


def line_of(path: Path, field: str) -> int:
    return next(i for i, line in enumerate(path.read_text().splitlines(), 1) if line.strip().startswith(f"{field}:"))


@pytest.mark.parametrize(
    ("fields", "at", "says"),
    [
        (
            {"training__card_queries": 300},
            "card_queries",
            r"training.card_queries: .*the model card \(tiny/heldout: expected at least 300 usable queries, got",
        ),
        (
            {"data__queries__heldout": 90},
            "queries",
            r"data.queries: .*the task \(tiny/heldout: expected at least 90 usable queries, got",
        ),
        (
            {"data__queries__discovery": 90},
            "queries",
            r"data.queries: .*the task \(tiny/discovery: expected at least 90 usable queries",
        ),
        (
            {"training__queries_a_step": 500},
            "queries_a_step",
            r"training.queries_a_step: expected at most \d+, .*got 500",
        ),
        (
            {"training__accumulate": 5},
            "accumulate",
            "training.accumulate: expected at most 4, the value of queries_a_step",
        ),
        ({"training__negatives_from_top": 1}, "negatives_from_top", "expected at least 2, the value of hard_negatives"),
        ({"training__warmup": 9}, "warmup", "training.warmup: expected at most 4, the value of steps, got 9"),
        (
            {"training__hard_negatives": 0, "training__random_negatives": 0},
            "hard_negatives",
            "training.hard_negatives: expected at least 1",
        ),
        ({"layer": 2}, "layer", "layer: expected at most 1, the last of the base's 2 layers, got 2"),
        ({"data__source_trained": False}, "source_trained", "data.source_trained: expected true"),
        (
            {"reranker__readout": {"kind": "yes-no", "yes": "a"}},
            "readout",
            "reranker.readout: expected kind logit: .*got 'yes-no'",
        ),
    ],
)
def test_impossible_training_is_refused_before_it_starts(
    fields: dict[str, object], at: str, says: str, tmp_path: Path
) -> None:
    path = changed(task_file(tmp_path, "relevance"), **fields)
    result = coterie_train(path)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith(f"error: {path}:{line_of(path, at)}: ")
    assert re.search(says, line), line
    assert not has_base(tmp_path / "base")
    assert not (tmp_path / "adapter" / WEIGHTS).exists()


def test_adapter_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    path = task_file(tmp_path, "relevance")
    (tmp_path / "adapter").write_text("a file")
    result = coterie_train(path)
    assert result.exit_code == 2
    assert result.stderr.startswith(
        f"error: {path}:{line_of(path, 'adapter')}: reranker.adapter: expected a folder that"
    )
    assert not has_base(tmp_path / "base")


def test_more_negatives_than_the_run_contains_are_refused(tmp_path: Path) -> None:
    path = changed(task_file(tmp_path, "relevance"), training__hard_negatives=3, data__source__run="run.trec")
    draw = np.random.default_rng(0)

    def run_of(depth: int) -> None:
        rows = [(q, k, d) for q in range(200) for k, d in enumerate([q, *draw.choice(200, depth, False)], 1)]
        (tmp_path / "run.trec").write_text("".join(f"q{q} Q0 d{d} {k} {99 - k} t\n" for q, k, d in dict.fromkeys(rows)))

    run_of(2)
    result = coterie_train(path)
    assert result.exit_code == 2, result.output
    assert f"{path}:{line_of(path, 'hard_negatives')}: training.hard_negatives: expected at most 2" in result.stderr
    run_of(4)  # of which some are not shown: relevant to judged queries
    result = coterie_train(path)
    assert result.exit_code == 0, result.output
    assert (
        "training queries have fewer than 3 hard negatives (at least 1), which are drawn more than once"
        in result.output
    )


def pretrained(folder: Path) -> Path:
    """A task whose base exists and whose adapter is not trained yet."""
    path = task_file(folder, "relevance")
    save_reranker(folder, adapter=False)
    spec = yaml.safe_load(path.read_text())
    del spec["training"]["base"]
    path.write_text(yaml.safe_dump(spec))
    return path


def test_missing_adapter_is_trained(tmp_path: Path) -> None:
    path = pretrained(tmp_path)
    result = coterie_train(path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "adapter" / WEIGHTS).is_file()
    assert (tmp_path / "adapter" / "card.json").is_file()
    assert not (tmp_path / "adapter" / CHECKPOINT).exists()
    assert "3e-4 up to 500 M" in result.output
    assert "'learning_rate': 0.003, 'warmup': 1," in (tmp_path / "adapter" / "train.log").read_text()


def test_stages_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    path = task_file(tmp_path, "relevance")
    result = coterie_train(path, "--stage", "adapter")
    assert result.exit_code == 2
    assert "expected a base, got none yet; fix: run --stage base first" in result.stderr
    result = coterie_train(pretrained(tmp_path / "other"), "--stage", "card")
    assert result.exit_code == 2
    assert "expected a trained adapter to measure, got none yet; fix: run --stage adapter first" in result.stderr


def test_half_written_base_is_trained_again(tmp_path: Path) -> None:
    path = task_file(tmp_path, "relevance")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.safetensors").write_bytes(b"half")
    result = coterie_train(path, "--stage", "base")
    assert result.exit_code == 0, result.output
    assert has_base(tmp_path / "base")
    assert not list((tmp_path / "base").glob(".new*"))
    (tmp_path / "base" / "tokenizer.json").unlink()
    result = coterie_train(path)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("base: "), "begins with the base"


def test_warm_start_is_found_next_to_the_task_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pretrained(tmp_path)
    assert coterie_train(path, "--stage", "adapter").exit_code == 0
    (tmp_path / "adapter").rename(tmp_path / "first")
    monkeypatch.chdir(tmp_path.parent)
    result = coterie_train(changed(path, training__init_adapter="first"), "--stage", "adapter")
    assert result.exit_code == 0, result.output
    result = coterie_train(changed(path, training__init_adapter="./second"), "--stage", "adapter")
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert "training.init_adapter: ./second: expected" in line


def test_interruption_during_the_card_keeps_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pretrained(tmp_path)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train, "measure", interrupted)
        result = coterie_train(path)
    assert result.exit_code == 130
    assert "interrupted; the same command resumes" in result.output
    result = coterie_train(path)
    assert result.exit_code == 0, result.output
    assert "resumed at step 4" in result.output
    assert "step 1/4" not in result.output
    assert not (tmp_path / "adapter" / CHECKPOINT).exists()


def test_without_a_terminal_progress_is_plain_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_command, "LINE_EVERY", 0.0)
    result = coterie_train(task_file(tmp_path, "relevance"))
    assert result.exit_code == 0, result.output
    shown = result.output.splitlines()
    steps = [line for line in shown if line.startswith("step ") and "nDCG" in line]
    assert [line.split(":")[0] for line in steps] == ["step 1/4", "step 2/4", "step 3/4", "step 4/4"]
    assert all("loss " in line and "best nDCG@10 " in line for line in steps)
    assert all("steps/s, about " in line for line in steps[1:])
    assert any("base, matching" in line for line in shown)
    kept = (tmp_path / "adapter" / "train.log").read_text().splitlines()
    assert not any(line.startswith("step ") for line in kept)
    assert sum(line.startswith(("relevance 0/4", "relevance 2/4", "relevance 4/4")) for line in kept) == 3


def test_progress_line_is_written_every_ten_seconds() -> None:
    now, lines = [0.0], []
    show = Lines(lines.append, lambda: now[0])
    for step in range(1, 101):  # 0.5 s per step
        now[0] = step / 2
        show(step, 1000, "loss 1.000")
    assert [line.split(":")[0] for line in lines] == [f"step {i}/1000" for i in (20, 40, 60, 80, 100)]
    assert lines[0] == "step 20/1000: loss 1.000, 2 steps/s, about 8 min left"
    now[0] += 10
    show(1, 50, "another stage")
    assert lines[-1] == "step 1/50: another stage"


def test_training_overwrites_neither_the_base_nor_other_files(tmp_path: Path) -> None:
    path = task_file(tmp_path, "relevance")
    text = path.read_text()
    assert CliRunner().invoke(app, ["train", str(path), "--device", "cpu"]).exit_code == 0
    again = CliRunner().invoke(app, ["train", str(path), "--device", "cpu"])
    assert again.exit_code == 2, "a finished adapter is trained again only on request"
    assert "fix: --stage adapter" in again.stderr
    path.write_text(text.replace("adapter: adapter", "adapter: ./base"))
    before = sorted(p.name for p in (tmp_path / "base").iterdir())
    into_base = CliRunner().invoke(app, ["train", str(path), "--device", "cpu", "--stage", "adapter"])
    assert into_base.exit_code == 2
    assert "expected a folder without a base" in into_base.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("my notes")
    path.write_text(text.replace("adapter: adapter", "adapter: mine"))
    over_mine = CliRunner().invoke(app, ["train", str(path), "--device", "cpu", "--stage", "adapter"])
    assert over_mine.exit_code == 2
    assert "expected a folder without your own README.md" in over_mine.stderr
    assert (tmp_path / "mine" / "README.md").read_text() == "my notes"
    assert sorted(p.name for p in (tmp_path / "base").iterdir()) == before
