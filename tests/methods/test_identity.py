"""The code hash changes with what a method computes and with nothing else."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from coterie.methods import identity
from coterie.methods.identity import code_hash
from coterie.methods.registry import Registry, list_methods
from tests.methods.test_registry import PLUGIN, write


def hash_of_file(path: Path) -> str:
    return code_hash(Registry().include(path)[0])


def test_comments_docstrings_formatting_and_place_do_not_count(tmp_path: Path) -> None:
    reference = hash_of_file(write(tmp_path / "mine.py", PLUGIN))
    restyled = PLUGIN.replace("Neighbours", "Other words:").replace("count: int = 8", "count : int = (8)  # why")
    assert hash_of_file(write(tmp_path / "elsewhere.py", '"""Doc."""\n' + restyled)) == reference
    assert hash_of_file(write(tmp_path / "changed.py", PLUGIN.replace("count: int = 8", "count: int = 9"))) != reference


def test_helpers_count_transitively_and_others_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "coterie_plug"
    package.mkdir()
    write(package / "__init__.py", "")
    write(package / "near.py", "from . import far\n")
    write(package / "far.py", "VALUE = 1\n")
    write(package / "unused.py", "VALUE = 1\n")
    write(package / "method.py", PLUGIN.replace("return", "from coterie_plug.near import far\n        return"))
    monkeypatch.syspath_prepend(tmp_path)
    cls = importlib.import_module("coterie_plug.method").FirstPairs
    before = code_hash(cls)
    write(package / "unused.py", "VALUE = 2\n")
    assert code_hash(cls) == before
    write(package / "far.py", "VALUE = 2\n")
    assert code_hash(cls) != before
    for name in [name for name in sys.modules if name.startswith("coterie_plug")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("module", "changed"),
    [
        ("coterie.methods.affinity_oca", {"hedonic-oca"}),
        ("coterie.methods.arrays", {"hedonic-oca", "kmeans-weights"}),
        ("coterie.methods.random_groups", {"random"}),
        ("coterie.methods.base", set()),
        ("coterie.methods.coalitions", set()),
    ],
)
def test_a_change_reaches_the_methods_that_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, changed: set[str]
) -> None:
    names = ("hedonic-oca", "kmeans-weights", "random")
    before = {name: code_hash(list_methods()[name]) for name in names}
    source = identity._source
    edited = write(tmp_path / "edited.py", (source(module) or tmp_path).read_text("utf8") + "\nEXTRA = 1\n")
    monkeypatch.setattr(identity, "_source", lambda name: edited if name == module else source(name))
    assert {name for name in names if code_hash(list_methods()[name]) != before[name]} == changed
