"""Whole runs from the command line, and the commands that list and explain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark.cli import main as cli
from coterie.benchmark.protocol import suites
from coterie.benchmark.protocol.settings import Settings
from coterie.benchmark.runner import worker
from coterie.tasks import kinds
from coterie.tasks.errors import RerankerError
from coterie.tasks.reranker_task import RerankerTask, RerankerTaskPlan
from coterie.tracking.store import RecordStore


@pytest.fixture
def small_suite(task_file: Path, task: RerankerTask, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite `quick` with the tests' settings, and the tests' task already loaded."""
    suite = suites.Suite("small", (str(task_file),), ("random", "kmeans-weights"), 1, 50, settings)
    monkeypatch.setitem(suites.SUITES, "quick", suite)
    monkeypatch.setattr(kinds, "plan_task", lambda _spec: task.plan)
    monkeypatch.setattr(worker, "plan_task", lambda _spec: task.plan)
    monkeypatch.setattr(RerankerTaskPlan, "load", lambda *_: task)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def invoke(*arguments: object) -> tuple[int, str]:
    where = ["--executor", "inline"] if arguments[0] == "run" else []
    result = CliRunner().invoke(cli.app, [*(str(a) for a in arguments), *where])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_run_prints_the_board_and_writes_everything(small_suite: None, tmp_path: Path) -> None:
    code, printed = invoke("run", "--output-folder", tmp_path)
    assert code == 0
    for name in ("leaderboard.md", "leaderboard.json", "index.html", "mlflow.db"):
        assert (tmp_path / name).stat().st_size > 500
    assert "mlflow ui --backend-store-uri" in printed
    assert "random" in printed
    assert json.loads((tmp_path / "leaderboard.json").read_text())
    assert len(RecordStore(tmp_path).all()) == 2


def test_a_second_run_reuses_cells_and_logs_nothing_twice(small_suite: None, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    def runs() -> list[str]:
        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("coterie")
        assert experiment is not None
        return sorted(r.info.run_id for r in client.search_runs([experiment.experiment_id]))

    invoke("run", "--output-folder", tmp_path)
    first = runs()
    code, printed = invoke("run", "--output-folder", tmp_path)
    assert code == 0
    assert "2 of 2 cells were finished before and reused" in printed
    assert runs() == first
    assert len(first) == 3  # the parent and two cells


def test_the_leaderboard_is_compiled_again_from_records(small_suite: None, tmp_path: Path) -> None:
    invoke("run", "--output-folder", tmp_path)
    before = (tmp_path / "leaderboard.json").read_text()
    (tmp_path / "leaderboard.json").unlink()
    assert invoke("leaderboard", "--output-folder", tmp_path)[0] == 0
    assert (tmp_path / "leaderboard.json").read_text() == before


def test_a_failed_cell_ends_with_exit_code_1(small_suite: None, tmp_path: Path) -> None:
    path = tmp_path / "breaks.py"
    path.write_text(METHOD.replace("return", "raise RuntimeError('on purpose')\n        return"))
    code, printed = invoke("run", "--output-folder", tmp_path / "out", "--include", path)
    assert code == 1
    assert "on purpose" in printed
    assert [r.status for r in RecordStore(tmp_path / "out").all()].count("ok") == 2


def test_failed_cells_are_counted_and_run_again_with_retry_failed(small_suite: None, tmp_path: Path) -> None:
    path, out = tmp_path / "breaks.py", tmp_path / "out"
    flag = tmp_path / "repaired"
    condition = f"if not __import__('pathlib').Path({str(flag)!r}).exists(): raise RuntimeError('on purpose')"
    path.write_text(METHOD.replace('"mine"', '"repairable"').replace("return", f"{condition}\n        return"))
    arguments = ("run", "--output-folder", out, "--include", path, "-m", "repairable", "-m", "random")
    code, printed = invoke(*arguments)
    assert code == 1
    assert "1 failed, 0 not run, 1 succeeded; to run the failed ones again: --retry-failed" in printed
    assert invoke(*arguments)[0] == 1, "not run again by default"
    flag.touch()
    assert invoke(*arguments, "--retry-failed")[0] == 0
    assert [r.status for r in RecordStore(out).all()] == ["ok", "ok"]


def test_each_budget_is_a_cell(small_suite: None, tmp_path: Path) -> None:
    arguments = ("run", "--output-folder", tmp_path, "-m", "random")
    assert invoke(*arguments, "--budgets", "1e1,20")[0] == 0
    assert sorted(r.identity.budget for r in RecordStore(tmp_path).all()) == [10, 20]
    code, printed = invoke(*arguments, "--budget", "10")
    assert code == 0
    assert "1 of 1 cells were finished before and reused" in printed


@pytest.mark.parametrize(("error", "code"), [(RerankerError, 2), (RuntimeError, 1)])
def test_a_task_that_does_not_load_leaves_no_record(
    error: type[Exception], code: int, small_suite: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 2 if the user can fix it; there is no record either way, because no method is at fault."""

    def fails(*_: object) -> None:
        raise error("not weights")

    monkeypatch.setattr(RerankerTaskPlan, "load", fails)
    got, printed = invoke("run", "--output-folder", tmp_path)
    assert got == code
    assert "not weights" in printed
    assert RecordStore(tmp_path).all() == []
    if code == 1:
        assert "0 failed, 2 not run, 0 succeeded" in printed


def test_a_file_that_does_not_load_stops_the_run_unless_methods_are_named(
    small_suite: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "malformed.py"
    path.write_text("x = 1\ndef broken(:\n")
    code, _ = invoke("run", "--output-folder", tmp_path / "out", "--include", path)
    assert code == 2
    assert not (tmp_path / "out").exists()
    code, _ = invoke("run", "--output-folder", tmp_path / "out", "--include", path, "-m", "random")
    assert code == 1, "the named method runs, and the file is reported"
    assert [r.method_name for r in RecordStore(tmp_path / "out").all()] == ["random"]


def test_an_output_folder_that_is_a_file_is_refused_and_kept(small_suite: None, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    assert invoke("run", "--output-folder", tmp_path / "out")[0] == 2
    assert (tmp_path / "out").read_text() == "in the way"


@pytest.mark.parametrize("what", ["tasks", "methods", "suites", "metrics"])
def test_ls_prints_every_kind_of_list(what: str) -> None:
    code, printed = invoke("ls", what)
    assert code == 0
    assert {"tasks": "pydoc-llama", "methods": "hedonic-oca", "suites": "quick", "metrics": "ndcg_drop"}[
        what
    ] in printed


@pytest.mark.parametrize("name", ["hedonic-oca", "ood_r2", "quick"])
def test_info_explains_methods_metrics_and_suites(name: str) -> None:
    code, printed = invoke("info", name)
    assert code == 0
    assert len(printed.splitlines()) > 1


def test_fidelity_prints_and_writes_a_row_for_every_affinity(
    task_file: Path, pydoc_domains: object, tmp_path: Path
) -> None:
    from coterie.leaderboard.reports.fidelity import FidelityReport
    from coterie.methods.affinity import AFFINITIES

    code, printed = invoke("fidelity", task_file, "--pairs", 20, "--output-folder", tmp_path)
    assert code == 0
    (path,) = tmp_path.glob("fidelity/*/fidelity.json")
    report = FidelityReport.model_validate_json(path.read_text())
    assert {row.affinity for row in report.rows} == set(AFFINITIES)
    known = [row.spearman for row in report.rows if row.spearman is not None]
    assert known == sorted(known, reverse=True)
    assert all(row.spearman is None for row in report.rows[len(known) :]), "those without a number come last"
    rows = {line.split()[0]: line for line in printed.splitlines() if line.split()[:1]}
    assert set(AFFINITIES) <= set(rows)
    assert "[" in rows["oca"], "an interval"


METHOD = '''
from dataclasses import dataclass
from coterie.methods.base import Method
from coterie.methods.coalitions import Coalitions

@dataclass(frozen=True)
class Mine(Method):
    """Pairs."""
    name = "mine"
    sees = frozenset()
    reference = "a test"
    def discover(self, game, budget, rng):
        return Coalitions.of(game.n_players, [(0, 1)])
'''
