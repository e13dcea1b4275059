"""`coterie.benchmark.run`: its parameters, and what it refuses."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coterie.benchmark import run
from coterie.benchmark.commands.run_options import RunOptions, checked_options
from coterie.benchmark.errors import UsageError
from coterie.methods.registry import IncludeError
from coterie.tasks.errors import UnknownTaskError

METHOD = '''
from dataclasses import dataclass
from coterie.methods.base import Method
from coterie.methods.coalitions import Coalitions

@dataclass(frozen=True)
class Included(Method):
    """Pairs."""
    name = "included-by-python"
    sees = frozenset()
    reference = "a test"
    def discover(self, game, budget, rng):
        return Coalitions.of(game.n_players, [(0, 1)])
'''


def test_parameters_are_the_options_with_their_defaults_and_documentation() -> None:
    parameters = inspect.signature(run).parameters
    options = {field.name: field.default for field in fields(RunOptions) if field.name != "started"}
    assert parameters.keys() == options.keys()
    documented = inspect.getdoc(run).partition("Args:")[2]  # type: ignore[union-attr]
    for name, parameter in parameters.items():
        assert parameter.annotation is not inspect.Parameter.empty
        assert f"    {name}: " in documented
        if name not in ("output_folder", "quiet"):
            assert parameter.default == options[name]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"methods": "random"}, "methods: expected a list, got 'random'; fix: ['random']"),
        ({"tasks": "planted/coactive"}, "tasks: expected a list, got 'planted/coactive'; fix: ['planted/coactive']"),
        ({"tasks": [1]}, "tasks[0]: expected a valid string, got 1"),
        ({"budgets": 1000}, "budgets: expected a list, got 1000; fix: [1000]"),
        ({"budgets": ["1e3"]}, "budgets[0]: expected a whole number, got '1e3'"),
        (
            {"seeds": 0},
            "--seeds: expected 1 to 1,000 (each is a cell, and intervals hardly change beyond a few dozen), got 0",
        ),
        ({"seeds": 1.5}, "seeds: expected a whole number, got 1.5"),
        ({"memory_limit": True}, "memory_limit: expected a whole number, got True"),
        ({"seeds": True}, "seeds: expected a whole number, got True"),
        ({"seeds": "2"}, "seeds: expected a whole number, got '2'"),
        ({"timeout": "soon"}, "timeout: expected a duration, got 'soon'; fix: 90s"),
        ({"timeout": 0}, "timeout: expected greater than 0, got 0"),
        ({"memory_limit": "much"}, "memory_limit: expected a size, got 'much'"),
        ({"memory_limit": -1}, "memory_limit: expected greater than 0, got -1"),
        ({"overwrite": "sometimes"}, "overwrite: expected 'only-missing', 'always' or 'never', got 'sometimes'"),
        ({"executor": "cloud"}, "executor: expected 'local', 'ray' or 'inline', got 'cloud'"),
        ({"quiet": "yes"}, "quiet: expected a valid boolean, got 'yes'"),
        ({"suite": "quik"}, "unknown suite 'quik'; did you mean 'quick'"),
        ({"device": "tpu"}, "--device: expected auto, cpu, cuda, mps, got 'tpu'"),
    ],
)
def test_wrong_values_raise_usage_errors(values: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        run(tmp_path / "out", **values)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_unknown_names_raise_the_errors_of_their_rooms(tmp_path: Path) -> None:
    with pytest.raises(UnknownTaskError, match="did you mean 'planted/coactive'"):
        run(tmp_path / "out", tasks=["planted/coactiv"])
    with pytest.raises(TypeError, match="method"):
        run(tmp_path / "out", method=["random"])  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("written", "seconds"), [("30m", 1800.0), ("1h30m", 5400.0), (90, 90.0), (0.5, 0.5), ("45", 45.0), (None, None)]
)
def test_a_timeout_is_seconds_or_text(written: float | str | None, seconds: float | None) -> None:
    assert checked_options({"timeout": written}).timeout == seconds


@pytest.mark.parametrize(("written", "size"), [("8GB", 8 * 10**9), ("1GiB", 2**30), (1000, 1000), (None, None)])
def test_a_memory_limit_is_bytes_or_text(written: int | str | None, size: int | None) -> None:
    assert checked_options({"memory_limit": written}).memory_limit == size


def test_whole_numbers_of_any_type_are_accepted() -> None:
    options = checked_options({"seeds": np.int64(1), "budgets": [50.0, np.float32(7)], "memory_limit": 8e9})
    assert (options.seeds, options.budgets, options.memory_limit) == (1, (50, 7), 8 * 10**9)
    assert all(type(number) is int for number in (options.seeds, *options.budgets, options.memory_limit))
    assert checked_options({"timeout": np.int64(3)}).timeout == 3


def test_none_is_the_default_of_a_list() -> None:
    assert checked_options(dict.fromkeys(("tasks", "methods", "budgets", "include"))) == RunOptions()


def test_one_included_file_needs_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for written in ("~/x.py", Path("~/x.py"), ["~/x.py"], (Path("/home/someone/x.py"),)):
        assert checked_options({"include": written}).include == (Path("/home/someone/x.py"),)


@pytest.mark.parametrize("as_list", [False, True])
def test_methods_of_an_included_file_can_run(as_list: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path, name = tmp_path / "included.py", f"included-{'list' if as_list else 'file'}"
    path.write_text(METHOD.replace("included-by-python", name))
    records = run(
        str(tmp_path / "out"),
        tasks=["planted/coactive"],
        methods=[name],
        seeds=1,
        budgets=[20],
        include=[path] if as_list else str(path),
        timeout="30m",
        memory_limit="8GB",
        executor="inline",
    )
    assert [(record.method_name, record.status) for record in records] == [(name, "ok")]


def test_an_included_file_that_does_not_load_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IncludeError, match=r"nowhere\.py: cannot be read"):
        run(tmp_path / "out", tasks=["planted/coactive"], methods=["random"], seeds=1, include="nowhere.py")
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_no_path_is_refused() -> None:
    with pytest.raises(UsageError, match="output_folder: expected a path, got 5"):
        run(5)  # type: ignore[arg-type]
