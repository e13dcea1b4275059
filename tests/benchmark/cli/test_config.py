"""Config files: options as YAML, and wrong values named with file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark.cli import main as cli
from coterie.tracking.store import RecordStore

TEXT = """
task: planted/coactive
method: random
seeds: 2
budgets: 20
timeout: 90
executor: inline
quiet: true
output-folder: {out}
"""


def run(path: Path, *more: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["run", "--config", str(path), *map(str, more)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


def test_the_command_line_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / "run.yaml"
    path.write_text(TEXT.format(out=tmp_path / "out"))
    assert run(path, "--seeds", 1)[0] == 0
    records = RecordStore(tmp_path / "out").all()
    assert [(r.method_name, r.seed, r.identity.budget) for r in records] == [("random", 0, 20)]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("suite: 2020-13-41", None, "cannot be read as YAML: month must be in"),
        ("seeds: true", 1, "seeds: expected a number, got true; fix: seeds: 1"),
        ("suite: true", 1, "suite: expected a text, got true"),
        ("method: random\nseeds: many", 2, "seeds: expected a valid integer, got 'many'"),
        ("seeds: 0", 1, "seeds: expected at least 1, got 0"),
        ("\nexecutor: inlin", 2, "executor: expected local, ray, inline, got 'inlin'; did you mean 'inline'?"),
        ("quiet: maybe", 1, "quiet: expected a valid boolean, got 'maybe'"),
        ("timeout: soon", 1, "timeout: expected a duration, got 'soon'; fix: 90s"),
        ("memory-limit: much", 1, "memory-limit: expected a size, got 'much'"),
        ("budgets: [1, 2]", 1, "budgets: expected whole numbers"),
        ("suite: quick\nmetod: random", 2, "unknown option 'metod'; did you mean 'method'"),
        ("n-jobs: 1\nn_jobs: 2", 2, "n_jobs: expected once, got twice"),
        ("device: 3", 1, "device: expected auto, cpu, cuda, mps, got '3'"),
        ("\ndevice: tpu", 2, "device: expected auto, cpu, cuda, mps, got 'tpu'"),
        ("suite: 3", 1, "suite: expected a text, got 3; fix: suite: name"),
        ("seeds: 1\nseeds: 2", 2, "seeds: expected once, got twice"),
        ("- seeds", None, "expected a mapping of options, got list"),
    ],
)
def test_wrong_values_are_named_with_file_line_and_field(
    text: str, line: int | None, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    code, error = run(path, "--output-folder", tmp_path / "out")
    assert code == 2
    assert error.startswith(f"error: {path}: {says}" if line is None else f"error: {path}:{line}: {says}")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_empty_config_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("# nothing\n")
    assert "unknown suite 'quik'" in run(path, "--suite", "quik")[1]
