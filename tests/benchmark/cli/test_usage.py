"""Help, mistakes in one line, and exit codes."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from coterie.benchmark.cli import main as cli
from coterie.benchmark.errors import Terminated

COMMANDS: dict[str, Any] = get_command(cli.app).commands  # type: ignore[attr-defined]


def test_help_is_instant_and_imports_nothing_heavy() -> None:
    code = "import sys; from coterie.benchmark.cli import main; "
    code += "print([m for m in ('torch', 'mlflow', 'numpy', 'pandas', 'plotly', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    help_, imports = ["-m", "coterie.benchmark", "--help"], ["-c", "import typer.main, rich.console"]
    assert processor_seconds(help_) < 4 * processor_seconds(imports), "little more than importing typer"


def processor_seconds(arguments: list[str]) -> float:
    """Processor time of Python with these arguments: the least of three."""

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
        (["run", "--device", "tpu"], "--device: expected auto, cpu, cuda, mps, got 'tpu'"),
        (["info", "kmeans-weight"], "did you mean 'kmeans-weights'"),
        (["train", "nothing/at-all"], "unknown task"),
        (["rnu"], "unknown command 'rnu'; did you mean 'run'"),
        (["run", "--seedz", "3"], "unknown option '--seedz'; did you mean '--seeds'"),
        (["run", "--something-else"], "unknown option '--something-else'; fix: coterie run --help"),
        (["run", "--seeds", "x"], "--seeds: expected a valid integer, got 'x'"),
        (["run", "--seeds", "0"], "--seeds: expected at least 1, got '0'"),
        (
            ["run", "--executor", "inlin"],
            "--executor: expected local, ray, inline, got 'inlin'; did you mean 'inline'?",
        ),
        (["run", "--device"], "option '--device' requires an argument"),
        (["run", "extra"], "unexpected arguments (extra); fix: coterie run --help"),
        (["ls", "taks"], "WHAT: expected tasks, methods, suites, metrics, got 'taks'; did you mean 'tasks'?"),
        (["perf", "gem"], "got 'gem'; did you mean 'gemm'?"),
        (["train", "pydoc-llama/relevance", "--stage", "x"], "--stage: expected base, adapter, card, got 'x'"),
        (["train", "pydoc-llama/relevance", "--stage", "adaptr"], "did you mean 'adapter'?"),
        (["inspect", "."], ".: expected a record, got a folder; fix: a .json file"),
        (["inspect", "nowhere"], "nowhere: expected a record, got no such file; fix: a .json file"),
        (["verify", __file__], ": expected the folder of a submission, got a file; fix: coterie verify"),
        (["verify", "nowhere"], "nowhere: expected the folder of a submission, got no such file; fix: coterie verify"),
        (["ls"], "missing argument WHAT; fix: coterie ls --help"),
        (["submit", "out"], "-m: expected either -m METHOD or --built-in"),
        (["leaderboard", "biuld"], "unknown command 'biuld'; did you mean 'build'?"),
        (["check", "x.py", "--timeout", "soon"], "--timeout: expected a duration, got 'soon'"),
        (["leaderboard", "--output-folder", "nowhere"], "expected records, got none; fix: coterie run"),
    ],
)
def test_mistakes_print_one_line_and_exit_with_2(
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


def test_without_a_command_help_is_printed_with_exit_code_2() -> None:
    result = CliRunner().invoke(cli.app, [])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Commands:" in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_in_one_line_and_shows_an_example(name: str) -> None:
    listed = CliRunner().invoke(cli.app, ["--help"]).stdout
    (line,) = [line for line in listed.splitlines() if line.startswith(f"  {name} ")]
    assert not line.endswith("...")
    text = " ".join(CliRunner().invoke(cli.app, [name, "--help"]).stdout.split())
    assert f"coterie {name} " in text.partition("Example")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_name_options_that_exist(name: str) -> None:
    example = COMMANDS[name].help.rpartition("coterie ")[2].split()[1:]
    known = {option for parameter in COMMANDS[name].params for option in (*parameter.opts, "build")}
    if name != "leaderboard":
        assert {word for word in example if word.startswith("-")} <= known


def test_the_options_of_run_are_grouped() -> None:
    text = CliRunner().invoke(cli.app, ["run", "--help"]).stdout
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["What to run:", "Where results go:", "Which cells:", "How cells run:", "Help:"]


@pytest.mark.parametrize(
    ("raised", "code", "says"), [(KeyboardInterrupt, 130, "interrupted; "), (Terminated, 143, "ended by SIGTERM; ")]
)
def test_a_signal_ends_with_one_line_and_its_exit_code(
    raised: type[BaseException], code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*_: object) -> None:
        raise raised

    monkeypatch.setattr("coterie.benchmark.commands.listing.print_list", ends)
    result = CliRunner().invoke(cli.app, ["ls", "tasks"])
    assert result.exit_code == code
    assert result.stderr == f"{says}finished cells are kept; run again to continue\n"


def test_sigterm_raises_terminated() -> None:
    with pytest.raises(Terminated):
        cli._on_sigterm(signal.SIGTERM, None)
