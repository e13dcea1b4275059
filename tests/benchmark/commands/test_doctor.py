"""`coterie doctor`: what it reports of a sound machine, and of each thing that can be broken."""

from __future__ import annotations

import ast
import json
import socket
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.benchmark.commands import doctor_probes as probes
from coterie.benchmark.commands.doctor import examine
from coterie.benchmark.commands.doctor_probes import Finding, Place
from coterie.benchmark.commands.import_check import import_problems
from coterie.benchmark.errors import Terminated
from coterie.tracking.errors import MlflowError
from coterie.tracking.mlflow_log import Tracker

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def doctor(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def found(section: str, name: str, place: Place | None = None) -> Finding:
    findings = examine(place or Place(Path("out"), None))[section]
    return next(finding for finding in findings if finding.name == name)


def test_a_sound_machine_has_no_problems(tmp_path: Path) -> None:
    doctor()  # torch is imported
    started = time.process_time()
    code, text = doctor()
    assert time.process_time() - started < 5
    assert code == 0
    for words in ("Python", "torch", "cores", "memory", "cache, writable", "coterie-out, to be created", "mlflow.db"):
        assert words in text
    assert text.endswith("coterie run would work on this machine.\n")
    assert list(tmp_path.iterdir()) == [], "nothing is created"


def test_json_has_the_same_findings() -> None:
    code, text = doctor("--json")
    report = json.loads(text)
    assert code == 0
    assert report["works"] is True
    assert report["sections"].keys() == probes.PROBES.keys()
    assert {"name", "value", "level", "fix"} == report["sections"]["Cache"][0].keys()


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COTERIE_CACHE", str(tmp_path / "file" / "cache"))
    code, text = doctor()
    assert code == 0
    assert (
        f"warning: {tmp_path}/file/cache: {tmp_path}/file is a file; texts are read again in every run; fix: set"
        in text
    )


def test_a_cache_of_an_unknown_user_is_a_warning_with_one_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTERIE_CACHE", "~nobody-of-this-name/cache")
    finding = found("Cache", "folder")
    assert finding.level == "warning"
    assert finding.value.endswith("the home of an unknown user; tasks with texts would fail")
    assert finding.fix == "set COTERIE_CACHE to a folder that you can write"


def test_records_are_counted_and_an_unwritable_output_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "out" / "records" / "a" / "b").mkdir(parents=True)
    (tmp_path / "out" / "records" / "a" / "b" / "0-1.json").write_text("{}")
    assert found("Results", "output folder").value == "out, writable, 1 record"
    (tmp_path / "file").write_text("in the way")
    code, text = doctor("--output-folder", tmp_path / "file")
    assert code == 1
    assert f"problem: {tmp_path}/file: a file, not a folder; fix: choose another with --output-folder" in text
    assert text.rstrip().endswith("see the 2 problems above."), "neither records nor mlflow.db"


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]  # bound, but nobody listens


@pytest.mark.parametrize("uri", ["http://me:secret-word@127.0.0.1:{}", "postgresql://me:secret-word@127.0.0.1:{}/db"])
def test_a_server_that_does_not_answer_is_a_warning_without_its_password(uri: str, closed_port: int) -> None:
    code, text = doctor("--tracking-uri", uri.format(closed_port))
    assert code == 0
    assert "warning: the server does not answer: " in text
    assert "coterie sync" in text
    assert "me:***@127.0.0.1" in text
    assert "secret-word" not in text


def test_a_damaged_database_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but some text that is longer than its header" * 40)
    code, text = doctor("--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db")
    assert code == 1
    assert "problem: " in text
    assert "file is not a database; fix: move the file away" in text


def test_missing_and_outdated_packages_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = probes.version

    def version(name: str) -> str:
        if name in ("peft", "ray", "psycopg"):
            raise PackageNotFoundError(name)
        return "0.1" if name == "numba" else real(name)

    monkeypatch.setattr(probes, "version", version)
    code, text = doctor()
    assert code == 1
    assert "problem: peft is missing; fix: pip install 'peft>=" in text
    assert "problem: numba 0.1 is installed, >=" in text
    assert "optional: ray is missing; fix: pip install 'coterie[ray]'" in text
    assert "optional: psycopg is missing; fix: pip install 'coterie[postgres]'" in text


@pytest.fixture
def fake_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose packages hide the installed ones, as a broken installation would."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    probes.broken_imports.cache_clear()
    yield folder
    probes.broken_imports.cache_clear()


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [
        ("filelock", "raise RuntimeError('half\\ninstalled')", "RuntimeError: half installed"),
        ("mlflow", "import sys; print('[]'); sys.exit(3)", "SystemExit: 3"),
        ("torch", "import sys; sys.exit(5)", "SystemExit: 5"),
        ("igraph", "import os; os._exit(9)", "ends Python, with exit code 9"),
    ],
)
def test_a_package_that_cannot_be_imported_is_a_problem(
    name: str, code: str, problem: str, fake_packages: Path
) -> None:
    (fake_packages / f"{name}.py").write_text(code)
    exit_code, text = doctor()
    assert exit_code == 1
    assert f", cannot be imported: {problem}; fix: pip install --force-reinstall {name}\n" in text
    assert "Optional packages" in text, "the other probes still run"


def test_an_error_in_a_dependency_is_repaired_there(fake_packages: Path) -> None:
    (fake_packages / "filelock.py").write_text("raise RuntimeError('half installed')")
    assert doctor()[1].count("fix: pip install --force-reinstall filelock\n") > 1, "transformers imports it too"


def test_an_import_that_never_ends_is_a_problem(fake_packages: Path) -> None:
    (fake_packages / "filelock.py").write_text("import time; time.sleep(60)")
    problems = import_problems(["json", "filelock", "csv"], seconds=3)
    assert {name: problem.what for name, problem in problems.items()} == {"filelock": "is not imported after 3 s"}


def test_imports_are_examined_under_their_module_names() -> None:
    packages = {"pyyaml": "yaml", "scikit-learn": "sklearn", "torch": "torch", "jinja2": "jinja2"}
    assert probes._modules(list(packages)) == {module: package for package, module in packages.items()}


@pytest.mark.parametrize("raised", [SystemExit(5), RuntimeError("broken"), GeneratorExit()])
def test_a_probe_may_raise_anything(raised: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_place: Place) -> Iterator[Finding]:
        raise raised

    monkeypatch.setattr("coterie.benchmark.commands.doctor.PROBES", {"Devices": fails})
    (finding,) = examine(Place(Path("out"), None))["Devices"]
    assert finding.level == "problem"


@pytest.mark.parametrize("signal", [KeyboardInterrupt, Terminated])
def test_signals_end_the_examination(signal: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_place: Place) -> Iterator[Finding]:
        raise signal

    monkeypatch.setattr("coterie.benchmark.commands.doctor.PROBES", {"Devices": fails})
    with pytest.raises(signal):
        examine(Place(Path("out"), None))


@pytest.mark.parametrize(
    ("uri", "fix"),
    [
        ("garbage", "sqlite:///mlflow.db or another store"),
        ("file:///tmp/x", "sqlite:///mlflow.db or another store"),
        ("garbage://x", "sqlite:///mlflow.db or another store"),
        ("postgresql://user:abc:abc/db", "write it as postgresql://"),
        ("http://[::1", "write it as http://"),
        ("sqlite:////tmp", "sqlite:////tmp/mlflow.db"),
    ],
)
def test_an_address_that_a_run_refuses_is_a_problem(
    uri: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    finding = found("MLflow", "state")
    assert finding.level == "problem"
    assert finding.fix.startswith(fix)
    with pytest.raises(MlflowError) as refused:
        Tracker(None, tmp_path / "out").open()
    assert str(refused.value).startswith(finding.value)
    assert list(tmp_path.iterdir()) == [], "nothing is created"


def test_a_log_level_that_a_run_refuses_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTERIE_LOG_LEVEL", "foo")
    finding = found("Environment variables", "COTERIE_LOG_LEVEL")
    assert (finding.level, finding.value) == ("problem", "expected debug, info, warning, error, got 'foo'")
    assert CliRunner().invoke(app, ["run"]).exit_code == 2
    monkeypatch.setenv("COTERIE_LOG_LEVEL", "")
    assert found("Environment variables", "COTERIE_LOG_LEVEL").level == "ok"


def test_a_probe_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_place: Place) -> Iterator[Finding]:
        yield Finding("before", "is kept")
        raise RuntimeError("a driver\nis missing")

    monkeypatch.setitem(probes.PROBES, "Devices", fails)
    before, after = examine(Place(Path("out"), None))["Devices"]
    assert before == Finding("before", "is kept")
    assert (after.level, after.value) == ("problem", "cannot be examined: RuntimeError: a driver is missing")


def test_more_threads_than_cores_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    finding = found("Threads", "OMP_NUM_THREADS")
    assert finding.level == "warning"
    assert finding.value == "4096, more than the available cores"


@pytest.mark.parametrize("value", ["abc", "0", "-1", ""])
def test_a_number_of_threads_that_is_none_is_a_warning(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    finding = found("Threads", "OMP_NUM_THREADS")
    assert finding.level == "warning"
    assert finding.value == f"expected a number of threads, at least 1, got {value!r}"
    assert finding.fix.startswith("unset it, or set it to ")


@pytest.mark.parametrize(("value", "level"), [("abc", "warning"), ("0", "problem")])
def test_numba_raises_for_zero_threads(value: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", value)
    assert found("Threads", "NUMBA_NUM_THREADS").level == level


def test_passwords_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "short")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hidden@proxy:80")
    text = doctor()[1]
    assert "short" not in text
    assert "hidden" not in text
    assert "http://me:***@proxy:80" in text


def environment_variables(path: Path) -> Iterator[str]:
    """The variables that a file reads by name: `os.environ.get("X")`, `os.environ["X"]`, `"X" in os.environ`, `envvar="X"`."""
    for node in ast.walk(ast.parse(path.read_text())):
        named: list[ast.expr] = []
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("environ.get", "environ.setdefault", "getenv")
        ):
            named = node.args[:1]
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            named = [node.slice]
        elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]).endswith("environ"):
            named = [node.left]
        elif isinstance(node, ast.keyword) and node.arg == "envvar":
            named = [node.value]
        yield from (str(name.value) for name in named if isinstance(name, ast.Constant))


def test_every_environment_variable_that_the_code_reads_is_reported() -> None:
    from coterie.benchmark.runner.executors.process import THREAD_VARIABLES

    rooms = ("tasks", "tracking", "methods", "leaderboard", "benchmark")
    read = {name for room in rooms for path in (ROOT / room).rglob("*.py") for name in environment_variables(path)}
    assert {"COTERIE_CACHE", "COTERIE_LOG_LEVEL", "MLFLOW_TRACKING_URI"} <= read
    assert read | set(THREAD_VARIABLES) <= probes.VARIABLES.keys()
