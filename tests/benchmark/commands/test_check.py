"""`coterie new-method` and `coterie check`: from a template to a checked method, whatever the method does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark.cli import main as cli
from coterie.benchmark.commands.check import Checker
from coterie.benchmark.submissions.contract import CHECKS

BODY = '        activations = matrix("activations"'


def invoke(*arguments: object) -> tuple[int, str]:
    patience = ["--timeout", "600"] if arguments[0] == "check" else []  # the machine may be busy
    result = CliRunner().invoke(cli.app, [*(str(a) for a in arguments), *patience])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def made(folder: Path, name: str, before: str = "") -> Path:
    """The template, with a line before its first statement."""
    assert invoke("new-method", name, "--folder", folder)[0] == 0
    path = folder / f"{name.replace('-', '_')}.py"
    text = path.read_text()
    assert BODY in text
    path.write_text(text.replace(BODY, f"        {before}\n{BODY}") if before else text)
    return path


def test_new_method_passes_its_checks_and_its_tests_and_runs(tmp_path: Path) -> None:
    path = made(tmp_path, "brand-new")
    code, printed = invoke("check", path)
    assert code == 0, printed
    assert printed.count("ok     ") == len(CHECKS)
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_brand_new.py")]
    assert f"{len(CHECKS) + 1} passed" in subprocess.run(tests, capture_output=True, text=True, cwd=tmp_path).stdout
    run = ("run", "-t", "planted/coactive", "-m", "brand-new", "--seeds", 1, "--budget", 50, "--include", path)
    code, printed = invoke(*run, "--output-folder", tmp_path / "out", "--executor", "inline")
    assert code == 0, printed
    assert "brand-new" in printed


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hedonic-oca", "taken"),
        ("My Idea", "fix: coterie new-method my-idea"),
        ("../escape", "fix: coterie new-method escape"),
        ("9", "fix: coterie new-method my-method"),
        ("a" * 65, "at most 64"),
        ("trailing-", "fix: coterie new-method trailing"),
        ("numpy", "numpy.py would hide the installed package 'numpy'; fix: coterie new-method my-numpy"),
        ("coterie", "would hide the installed package 'coterie'"),
        ("json", "json.py would hide Python's module 'json'"),
        ("class", "expected a name that Python can import, got its keyword 'class'"),
    ],
)
def test_unusable_name_is_refused_with_a_better_one(name: str, says: str, tmp_path: Path) -> None:
    code, printed = invoke("new-method", name, "--folder", tmp_path)
    assert code == 2
    assert says in printed
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("precious")
    code, printed = invoke("new-method", "mine", "--folder", tmp_path)
    assert code == 2
    assert "exists already" in printed
    assert [p.name for p in tmp_path.iterdir()] == ["test_mine.py"]
    assert (tmp_path / "test_mine.py").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "before", "failed", "says"),
    [
        ("peeks", "game.write_vectors()", "sees-what-it-declares", " at peeks.py:"),
        ("unseeded", "np.random.seed(0)", "depends-only-on-its-seed", "a global random state"),
        ("raises", "raise KeyError('neuron')", "answers-are-valid", "KeyError at raises.py:"),
        ("exits", "raise SystemExit(0)", "answers-are-valid", "SystemExit at exits.py:"),
        ("prints", "print('{}')", None, "All checks passed."),
    ],
)
def test_failure_is_reported_with_its_fix(
    name: str, before: str, failed: str | None, says: str, tmp_path: Path
) -> None:
    code, printed = invoke("check", made(tmp_path, name, before))
    assert code == (0 if failed is None else 1), printed
    assert says in printed
    if failed is not None:
        assert f"FAILED {failed}" in printed
        assert CHECKS[failed].fix in printed
        assert "ok     describes-itself" in printed, "the other checks run too"


def test_method_that_hangs_fails_only_that_check(tmp_path: Path) -> None:
    with Checker(made(tmp_path, "hangs", "while True: pass"), timeout=5) as checker:
        assert checker.methods() == ["hangs"]
        hanging, after = (checker.run("hangs", check) for check in ("answers-are-valid", "describes-itself"))
    assert "still running after 5 s (at hangs.py:" in (hanging.problem or "")
    assert after.problem is None


def test_method_that_crashes_fails_only_that_check(tmp_path: Path) -> None:
    with Checker(made(tmp_path, "crashes", "import os; os._exit(7)"), timeout=600) as checker:
        crashing, after = (checker.run("crashes", check) for check in ("answers-are-valid", "describes-itself"))
    assert "its process ended with exit code 7" in (crashing.problem or "")
    assert after.problem is None


@pytest.mark.parametrize(
    ("text", "says"),
    [("def broken(:", "broken.py:1: SyntaxError"), ("x = 1", "expected a subclass"), (None, "cannot be read")],
)
def test_file_that_does_not_load_exits_with_2(text: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    if text is not None:
        path.write_text(text)
    code, printed = invoke("check", path)
    assert code == 2
    assert says in printed


def test_method_of_the_package_is_checked_in_place(tmp_path: Path) -> None:
    import coterie.methods

    folder = Path(coterie.methods.__path__[0])
    code, printed = invoke("check", folder / "random_groups.py")
    assert code == 0, printed
    assert "random_groups.py: random" in printed
    assert invoke("check", folder / "arrays.py")[0] == 2, "a file without a method"
