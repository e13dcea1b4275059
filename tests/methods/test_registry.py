"""Methods are found, included and refused, and errors name file and line."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import coterie.methods
from coterie.methods import registry
from coterie.methods.base import MethodError
from coterie.methods.registry import IncludeError, Registry, get_method, list_methods

PLUGIN = '''
from dataclasses import dataclass

from coterie.methods import Coalitions, Method


@dataclass(frozen=True)
class FirstPairs(Method):
    """Neighbours in pairs."""

    name = "first-pairs"
    sees = frozenset()
    reference = "nobody"
    count: int = 8

    def discover(self, game, budget, rng):
        return Coalitions.of(game.n_players, [(i, i + 1) for i in range(0, game.n_players - 1, 2)][: self.count])
'''


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf8")
    return path


def test_the_folder_is_scanned() -> None:
    assert {"hedonic-oca", "kmeans-weights", "random"} <= set(list_methods())
    assert list(list_methods()) == sorted(list_methods())
    assert coterie.methods.broken_plugins() == {}


def test_selectors_select_methods_with_parameters() -> None:
    assert get_method("hedonic-oca[k=3]").parameters["k"] == 3
    assert get_method("hedonic-oca[k=3]").selector == "hedonic-oca[k=3]"


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("hedonic-oac", "unknown method 'hedonic-oac'; did you mean 'hedonic-oca'"),
        ("zzz", "unknown method 'zzz'; known: "),
        ("random[minsize=3]", "random: unknown parameter 'minsize'; did you mean 'min_size'"),
    ],
)
def test_errors_about_unknown_names_suggest_the_nearest(selector: str, message: str) -> None:
    with pytest.raises(MethodError) as caught:
        get_method(selector)
    assert message in str(caught.value)


def test_importing_the_package_is_light_and_scanning_does_not_import_sklearn() -> None:
    code = (
        "import sys, coterie.methods as m; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules); "
        "m.list_methods(); assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="it has Coalitions"):
        _ = coterie.methods.nothing


def test_include_adds_only_the_methods_of_one_file(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", PLUGIN)
    write(tmp_path / "other.py", "raise SystemExit('must not run')")
    path_before, methods = list(sys.path), Registry()
    classes = methods.include(file)
    assert [cls.name for cls in classes] == ["first-pairs"]
    assert methods.get("first-pairs[count=2]").parameters == {"count": 2}
    assert "random" in methods.scan()
    assert methods.include(str(file)) == classes
    assert sys.path == path_before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.py", "other.py"]  # no compiled copies


def test_including_a_changed_file_is_refused(tmp_path: Path) -> None:
    file, methods = write(tmp_path / "mine.py", PLUGIN), Registry()
    methods.include(file)
    write(file, PLUGIN + "\n")
    with pytest.raises(IncludeError, match=r"mine\.py: has changed since it was included"):
        methods.include(file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("return", "retrun", "mine.py:17: SyntaxError: invalid syntax"),
        ("@dataclass(frozen=True)", "@dataclas(frozen=True)", "mine.py:7: NameError: name 'dataclas' is not defined"),
        (
            "from dataclasses",
            "import nowhere\nfrom dataclasses",
            "mine.py:2: ModuleNotFoundError: No module named 'nowhere'",
        ),
        ("from dataclasses", "raise SystemExit(3)\nfrom dataclasses", "mine.py:2: SystemExit: 3"),
        ("(Method)", "", "mine.py:1: expected a subclass of coterie.methods.Method with `discover`, got none"),
        ("def discover", "def descover", "expected a subclass of coterie.methods.Method with `discover`, got none"),
        ("@dataclass(frozen=True)", "", "mine.py:8: FirstPairs: expected a frozen dataclass"),
        ('"""Neighbours in pairs."""', "", "mine.py:7: FirstPairs: expected a docstring, got none"),
        ('"first-pairs"', '"First Pairs"', "mine.py:7: FirstPairs: `name`: expected lower-case letters"),
        ("frozenset()", '{"activations"}', "mine.py:7: FirstPairs: `sees`: expected a frozenset of Capability"),
        ('    reference = "nobody"\n', "", "mine.py:7: FirstPairs: `reference`: expected a citation"),
        ("count: int = 8", "count: int", "mine.py:7: FirstPairs: parameter 'count': expected a default"),
        (
            "count: int = 8",
            'count: int = "x"',
            "mine.py:7: FirstPairs: parameters: first-pairs[count]: expected a valid",
        ),
        ("count: int = 8", "count: object() = 8", "mine.py:7: FirstPairs: parameters: "),
        ('"first-pairs"', '"random"', "mine.py:7: method name 'random' is taken by "),
    ],
)
def test_errors_in_a_file_name_its_line_and_leave_other_methods_available(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    file, methods, modules = write(tmp_path / "mine.py", PLUGIN.replace(old, new)), Registry(), set(sys.modules)
    before = methods.scan()
    with pytest.raises(IncludeError) as caught:
        methods.include(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert methods.scan() == before
    assert set(sys.modules) == modules


def test_include_requires_a_readable_python_file(tmp_path: Path) -> None:
    with pytest.raises(IncludeError, match=r"none\.py: cannot be read: No such file"):
        Registry().include(tmp_path / "none.py")
    with pytest.raises(IncludeError, match="expected a Python file"):
        Registry().include(write(tmp_path / "mine.txt", PLUGIN))


def test_entry_points_are_loaded_and_broken_ones_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "plugin_good.py", PLUGIN)
    write(tmp_path / "plugin_clash.py", PLUGIN.replace('"first-pairs"', '"random"'))
    write(tmp_path / "plugin_bad.py", "x = 1\n1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    values = ["plugin_bad", "plugin_clash:FirstPairs", "plugin_good:FirstPairs", "plugin_good:Coalitions"]
    points = [EntryPoint("p", value, registry.GROUP) for value in values]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])
    methods = Registry()
    assert methods.get("first-pairs").selector == "first-pairs"
    assert methods.scan()["random"] is list_methods()["random"]
    errors = list(methods.broken.values())
    assert f"{tmp_path / 'plugin_bad.py'}:2: ZeroDivisionError: division by zero" in str(errors[0])
    assert f"{tmp_path / 'plugin_clash.py'}:7: method name 'random' is taken by" in str(errors[1])
    assert "entry point plugin_good:Coalitions: expected a subclass" in str(errors[2])
    with pytest.raises(MethodError, match=r"unknown method 'zzz'.*not loaded: .*plugin_bad\.py:2"):
        methods.get("zzz")
