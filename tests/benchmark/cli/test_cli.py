"""The command line as a user meets it: help, mistakes, exit codes, the whole run."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark.cli import main as cli
from coterie.benchmark.commands import run as commands
from coterie.benchmark.protocol import suites
from coterie.benchmark.protocol.settings import Settings
from coterie.benchmark.runner import grid as runner
from coterie.benchmark.runner import worker
from coterie.tasks.errors import RerankerError
from coterie.tasks.task import Task
from coterie.tracking.store import RecordStore


@pytest.fixture
def small_suite(task: Task, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite ``quick`` with the tests' settings, and the tests' task already loaded."""
    suite = suites.Suite("small", ("pydoc-llama/relevance",), ("random", "kmeans-weights"), 1, 50, settings)
    monkeypatch.setitem(suites.SUITES, "quick", suite)
    monkeypatch.setattr(runner, "plan_task", lambda _spec: task.plan)
    monkeypatch.setattr(worker, "plan_task", lambda _spec: task.plan)
    monkeypatch.setattr(worker, "load_task", lambda *_: task)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def invoke(*arguments: object) -> tuple[int, str]:
    where = ["--executor", "inline"] if arguments[0] == "run" else []
    result = CliRunner().invoke(cli.app, [*(str(a) for a in arguments), *where])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_help_is_instant_and_imports_nothing_heavy() -> None:
    code = "import sys; from coterie.benchmark import cli; "
    code += "print([m for m in ('torch', 'mlflow', 'numpy', 'pandas', 'plotly', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    help_, imports = ["-m", "coterie.benchmark", "--help"], ["-c", "import typer.main, rich.console"]
    assert processor_seconds(help_) < 4 * processor_seconds(imports), "little more than what it is made with"


def processor_seconds(arguments: list[str]) -> float:
    """What Python takes for this, without what the machine does meanwhile: the least of three."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "-t", "pydoc-lama/relevance"], "did you mean 'pydoc-llama/relevance"),
        (["run", "-m", "hedonic-oac"], "did you mean 'hedonic-oca'"),
        (["run", "-m", "hedonic-oca[kk=3]"], "unknown parameter 'kk'"),
        (["run", "-m", "hedonic-oca[k=zero]"], "expected"),
        (["run", "--suite", "quik"], "did you mean 'quick'"),
        (["run", "--timeout", "soon"], "--timeout: expected a duration, got 'soon'; fix: 90s, 30m"),
        (["run", "--memory-limit", "much"], "--memory-limit: expected a size"),
        (["run", "--budgets", "1e3,some"], "--budgets: expected whole numbers"),
        (["run", "--budgets", "1e3", "--budget", "5"], "expected --budget or --budgets, got both"),
        (["run", "--device", "tpu"], "--device: expected auto, cpu, cuda, mps"),
        (["info", "kmeans-weight"], "did you mean 'kmeans-weights'"),
        (["train", "nothing/at-all"], "unknown task"),
        (["leaderboard", "--output-folder", "nowhere"], "no records there; fix: coterie run"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        cli.app(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert says in error
    assert "\n" not in error


def test_run_prints_the_board_and_writes_everything(small_suite: None, tmp_path: Path) -> None:
    code, printed = invoke("run", "--output-folder", tmp_path)
    assert code == 0
    for name in ("leaderboard.md", "leaderboard.json", "index.html", "mlflow.db"):
        assert (tmp_path / name).stat().st_size > 500
    assert "mlflow ui --backend-store-uri" in printed
    assert "random" in printed
    assert json.loads((tmp_path / "leaderboard.json").read_text())
    assert len(RecordStore(tmp_path).all()) == 2


def test_second_run_reuses_and_does_not_log_twice(small_suite: None, tmp_path: Path) -> None:
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


def test_leaderboard_again_from_records(small_suite: None, tmp_path: Path) -> None:
    invoke("run", "--output-folder", tmp_path)
    before = (tmp_path / "leaderboard.json").read_text()
    (tmp_path / "leaderboard.json").unlink()
    assert invoke("leaderboard", "--output-folder", tmp_path)[0] == 0
    assert (tmp_path / "leaderboard.json").read_text() == before


def test_a_failed_cell_is_exit_code_1(small_suite: None, tmp_path: Path) -> None:
    path = tmp_path / "breaks.py"
    path.write_text(METHOD.replace("return", "raise RuntimeError('on purpose')\n        return"))
    code, printed = invoke("run", "--output-folder", tmp_path / "out", "--include", path)
    assert code == 1
    assert "on purpose" in printed
    assert [r.status for r in RecordStore(tmp_path / "out").all()].count("ok") == 2


def test_a_failed_cell_is_summed_up_and_run_again_on_demand(small_suite: None, tmp_path: Path) -> None:
    path, out = tmp_path / "breaks.py", tmp_path / "out"
    flag = tmp_path / "mended"
    condition = f"if not __import__('pathlib').Path({str(flag)!r}).exists(): raise RuntimeError('on purpose')"
    # a name of its own: the registry lives as long as the process
    path.write_text(METHOD.replace('"mine"', '"mendable"').replace("return", f"{condition}\n        return"))
    arguments = ("run", "--output-folder", out, "--include", path, "-m", "mendable", "-m", "random")
    code, printed = invoke(*arguments)
    assert code == 1
    assert "1 failed, 0 not run, 1 fine; to run the failed ones again: --retry-failed" in printed
    assert invoke(*arguments)[0] == 1, "not run again unless asked for"
    flag.touch()
    assert invoke(*arguments, "--retry-failed")[0] == 0
    assert [r.status for r in RecordStore(out).all()] == ["ok", "ok"]


def test_budgets_are_cells_of_their_own(small_suite: None, tmp_path: Path) -> None:
    arguments = ("run", "--output-folder", tmp_path, "-m", "random")
    assert invoke(*arguments, "--budgets", "1e1,20")[0] == 0
    assert sorted(r.identity.budget for r in RecordStore(tmp_path).all()) == [10, 20]
    code, printed = invoke(*arguments, "--budget", "10")
    assert code == 0
    assert "1 of 1 cells were finished before and reused" in printed


@pytest.mark.parametrize(("error", "code"), [(RerankerError, 2), (RuntimeError, 1)])
def test_a_task_that_does_not_load(
    error: type[Exception], code: int, small_suite: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 where it is the user's to mend; no record either way, as no method is at fault."""

    def fails(*_: object) -> None:
        raise error("weights that are none")

    monkeypatch.setattr(worker, "load_task", fails)
    got, printed = invoke("run", "--output-folder", tmp_path)
    assert got == code
    assert "weights that are none" in printed
    assert RecordStore(tmp_path).all() == []
    if code == 1:
        assert "0 failed, 2 not run, 0 fine" in printed


def test_a_malformed_include_file(small_suite: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "malformed.py"
    path.write_text("x = 1\ndef broken(:\n")
    code, _ = invoke("run", "--output-folder", tmp_path / "out", "--include", path)
    assert code == 2
    assert not (tmp_path / "out").exists()
    code, _ = invoke("run", "--output-folder", tmp_path / "out", "--include", path, "-m", "random")
    assert code == 1, "the named method ran, the file is still reported"
    assert [r.method_name for r in RecordStore(tmp_path / "out").all()] == ["random"]


def test_config_file_and_command_line(small_suite: None, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"method: random\nseeds: 2\noutput-folder: {tmp_path / 'out'}\n")
    assert invoke("run", "--config", path, "--seeds", 1)[0] == 0
    assert [(r.method_name, r.seed) for r in RecordStore(tmp_path / "out").all()] == [("random", 0)]
    path.write_text("metod: random\n")
    assert invoke("run", "--config", path)[0] == 2


def test_output_folder_that_is_a_file(small_suite: None, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    assert invoke("run", "--output-folder", tmp_path / "out")[0] == 2
    assert (tmp_path / "out").read_text() == "in the way"


@pytest.mark.parametrize("what", ["tasks", "methods", "suites", "metrics"])
def test_lists(what: str) -> None:
    code, printed = invoke("ls", what)
    assert code == 0
    assert {"tasks": "pydoc-llama", "methods": "hedonic-oca", "suites": "quick", "metrics": "ndcg_drop"}[
        what
    ] in printed


@pytest.mark.parametrize("name", ["hedonic-oca", "ood_r2", "quick"])
def test_info(name: str) -> None:
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


def test_device() -> None:
    assert commands.resolve_device("cpu") == "cpu"
    assert commands.resolve_device("auto") in ("cpu", "cuda", "mps")


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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("suite: 2020-13-41", "cannot be read as YAML: month must be in"),
        ("seeds: true", "seeds: expected a number, got true"),
        ("n-jobs: 1\nn_jobs: 2", "n_jobs: expected once, stands twice"),
    ],
)
def test_a_config_whose_values_are_no_values(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    result = CliRunner().invoke(cli.app, ["run", "--config", str(path), "--output-folder", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
