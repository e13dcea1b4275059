"""The code hash changes with what a method computes and with nothing else."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coterie.methods import identity
from coterie.methods.identity import code_hash
from coterie.methods.registry import Registry, list_methods
from tests.methods.identity_pairs import PAIRS, RUN, TWO, A, B
from tests.methods.test_registry import write

METHOD = '''"""A method."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from coterie.methods import Coalitions, Method
from PACKAGE.near import chunks

if TYPE_CHECKING:
    from PACKAGE.unused import Unused

__all__ = ["FirstPairs"]


@dataclass(frozen=True)
class FirstPairs(Method):
    """Neighbours in pairs."""

    name = "first-pairs"
    sees = frozenset()
    reference = "nobody"
    tiny = {"count": 2}

    count: Annotated[int, Field(ge=1, description="how many")] = 8
    """As many as fit."""

    def discover(self, game, budget: int, rng):
        """Take them in order."""
        if game.n_players < 2:
            raise ValueError(f"too few: {game.n_players}")
        starts: list[int] = list(range(0, game.n_players - 1, 2))
        return Coalitions.of(game.n_players, np.add(chunks(starts, self.count), 0))
'''
NEAR = """from PACKAGE.far import WIDTH


def chunks(starts, most):
    return [(i, i + WIDTH) for i in starts][:most]
"""
FAR = "WIDTH = 1\nOTHER = 1\n"
numbers = count()


@pytest.fixture
def hash_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """The hash of the method above in a package, after edits of the files (text -> text) and renames of modules."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def run(edits: dict[str, str] | None = None, near: str = "near", far: str = "far") -> str:
        package = f"plug{next(numbers)}"
        (tmp_path / package).mkdir()
        texts = {"method": METHOD, near: NEAR, far: FAR, "unused": "Unused = int\n", "__init__": ""}
        for old, new in (edits or {}).items():
            assert any(old in text for text in texts.values()), old
            texts = {name: text.replace(old, new) for name, text in texts.items()}
        for name, text in texts.items():
            text = text.replace("PACKAGE.near", f"PACKAGE.{near}").replace("PACKAGE.far", f"PACKAGE.{far}")
            write(tmp_path / package / f"{name}.py", text.replace("PACKAGE", package))
        importlib.invalidate_caches()
        return code_hash(importlib.import_module(f"{package}.method").FirstPairs)

    yield run
    for name in set(sys.modules) - before:
        if name.startswith("plug"):
            del sys.modules[name]


FAR_IMPORT = "from PACKAGE.far import WIDTH\n"
SAME = {
    "docstring of the module": {'"""A method."""': '"""Another text."""'},
    "docstring of the class": {'"""Neighbours in pairs."""': '"""Pairs of neighbours.\n\n    At length.\n    """'},
    "docstring of a field": {'"""As many as fit."""': '"""No more than these."""'},
    "no docstring of a field": {'    """As many as fit."""\n': ""},
    "docstring of a function": {'"""Take them in order."""': "pass"},
    "comment": {"return Coalitions": "# why\n        return Coalitions"},
    "formatting": {"(0, game.n_players - 1, 2)": "(\n            0, (game.n_players - 1), 2)"},
    "description": {'description="how many"': 'description="number of pairs"'},
    "title": {'description="how many"': 'title="Count", description="how many"'},
    "reference": {'"nobody"': '"somebody"'},
    "parameters of the contract suite": {'{"count": 2}': '{"count": 3}'},
    "annotation of a parameter": {"budget: int": "budget"},
    "annotation of a result": {"budget: int, rng)": "budget: int, rng) -> Coalitions"},
    "annotation of a variable": {"starts: list[int] =": "starts ="},
    "text of an error": {"too few: {game.n_players}": "expected two players, got {game.n_players}"},
    "order of imports": {
        "import numpy as np\nfrom pydantic import Field\n": "from pydantic import Field\nimport numpy as np\n"
    },
    "import that is not used": {"import numpy as np\n": "import math\nimport numpy as np\n"},
    "import for type checkers": {"from PACKAGE.unused import Unused": "from collections.abc import Sequence"},
    "import inside a function": {
        FAR_IMPORT: "",
        "    return [(i": "    from PACKAGE.far import WIDTH\n    return [(i",
    },
    "relative import": {FAR_IMPORT: "from .far import WIDTH\n"},
    "other name for an import": {FAR_IMPORT: "from PACKAGE.far import WIDTH as w\n", "i + WIDTH": "i + w"},
    "import of the module": {FAR_IMPORT: "from PACKAGE import far\n", "i + WIDTH": "i + far.WIDTH"},
    "import by dotted path": {FAR_IMPORT: "import PACKAGE.far\n", "i + WIDTH": "i + PACKAGE.far.WIDTH"},
    "other name for a package": {"import numpy as np": "import numpy", "np.add": "numpy.add"},
    "function in place of its module": {"import numpy as np": "from numpy import add", "np.add": "add"},
    "public names": {'__all__ = ["FirstPairs"]': "__all__ = []"},
}
OTHER = {
    "constant": {"- 1, 2)": "- 1, 3)"},
    "constant of a helper": {"WIDTH = 1": "WIDTH = 2"},
    "operator": {"i + WIDTH": "i - WIDTH"},
    "comparison": {"game.n_players < 2": "game.n_players <= 2"},
    "default": {"= 8": "= 9"},
    "type of a parameter": {"Annotated[int": "Annotated[float"},
    "range of a parameter": {"ge=1": "ge=2"},
    "what it sees": {"frozenset()": "frozenset({'weights'})"},
    "called function": {"np.add": "np.subtract"},
    "called method": {"Coalitions.of": "Coalitions.off"},
    "imported name": {FAR_IMPORT: "from PACKAGE.far import OTHER as WIDTH\n"},
    "package of an imported name": {"import numpy as np": "import math as np"},
    "module of a helper with the same name": {FAR_IMPORT: "from PACKAGE.unused import Unused as WIDTH\n"},
    "star import": {FAR_IMPORT: "from PACKAGE.far import *\n"},
    "text of an error with a call": {"too few: {game.n_players}": "too few: {rng.random()}"},
    "annotation with a call": {"budget: int": "budget: print(1)"},
    "imports from __future__": {"from __future__ import annotations\n": ""},
    "value in an error": {'ValueError(f"too few: {game.n_players}")': "ValueError(game.n_players)"},
    "number called reference": {'"nobody"': "1"},
    "kind of an error": {"raise ValueError": "raise TypeError"},
    "statement": {"        return Coal": "        rng.random()\n        return Coal"},
    "decorator": {"frozen=True": "frozen=True, order=True"},
}


@pytest.mark.parametrize("edit", SAME)
def test_text_for_people_and_the_form_of_imports_do_not_count(hash_of: Callable[..., str], edit: str) -> None:
    assert hash_of(SAME[edit]) == hash_of()


@pytest.mark.parametrize("edit", OTHER)
def test_what_may_change_a_result_counts(hash_of: Callable[..., str], edit: str) -> None:
    assert hash_of(OTHER[edit]) != hash_of()


@pytest.mark.parametrize("pair", PAIRS)
def test_modules_that_behave_differently_have_different_hashes(
    pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _hash_of_files(PAIRS[pair][0], tmp_path, monkeypatch) != _hash_of_files(
        PAIRS[pair][1], tmp_path, monkeypatch
    )


def test_moving_a_helper_keeps_the_hash_even_where_an_import_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = {"c": TWO["a"], "b": TWO["b"], "method": (A + B + RUN).replace("PACKAGE.a", "PACKAGE.c")}
    before = _hash_of_files({**TWO, "method": A + B + RUN}, tmp_path, monkeypatch)
    assert _hash_of_files(moved, tmp_path, monkeypatch) == before


def test_constant_text_of_an_error_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {
        _hash_of_files({"method": f"def run():\n    raise ValueError({text!r})\n"}, tmp_path, monkeypatch)
        for text in ("a", "b")
    }
    assert len(hashes) == 1


def _hash_of_files(files: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The hash of a class in the module `method` of a package with these files; the module itself is not executed."""
    package, folder = "plugpair", folder / str(next(numbers))
    (folder / package).mkdir(parents=True)
    for name, text in {"__init__": "", **files}.items():
        write(folder / package / f"{name}.py", text.replace("PACKAGE", package))
    with monkeypatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        module = f"{package}.method"
        digest = code_hash(type("Probe", (), {"__module__": module}))  # type: ignore[arg-type]
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    return digest


def test_names_of_modules_do_not_count(hash_of: Callable[..., str]) -> None:
    assert hash_of(near="pieces", far="constants") == hash_of()


def test_a_package_may_pass_on_names_of_its_modules(hash_of: Callable[..., str]) -> None:
    """This happens when a helper module becomes a package: its content moves, and the old import still works."""
    split = {FAR: "from PACKAGE.deep import OTHER, WIDTH\n", "Unused = int\n": FAR}
    assert hash_of(split | {"PACKAGE.deep": "PACKAGE.unused", "    from PACKAGE.unused import Unused": "    pass"}) == (
        hash_of({"    from PACKAGE.unused import Unused": "    pass"})
    )


def test_the_place_of_an_included_file_does_not_count(tmp_path: Path) -> None:
    text = METHOD.replace("from PACKAGE.near import chunks", "def chunks(starts, most):\n    return starts")
    hashes = {code_hash(Registry().include(write(tmp_path / f"{name}.py", text))[0]) for name in ("mine", "elsewhere")}
    assert len(hashes) == 1


def test_modules_that_are_not_imported_do_not_count(hash_of: Callable[..., str]) -> None:
    assert hash_of({"Unused = int\n": "Unused = float\n"}) == hash_of()


@pytest.mark.parametrize("name", list(list_methods()))
def test_rewriting_the_source_from_its_syntax_tree_keeps_the_hash(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, source = list_methods()[name], identity._source
    before = code_hash(cls)
    _replace_source(monkeypatch, cls.__module__, tmp_path, ast.unparse(ast.parse(source(cls.__module__).read_text())))  # type: ignore[union-attr]
    assert code_hash(cls) == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_other_constant_operator_or_called_name_in_a_function_changes_the_hash(
    data: st.DataObject, tmp_path: Path
) -> None:
    cls = list_methods()[data.draw(st.sampled_from(sorted(list_methods())))]
    tree = ast.parse((identity._source(cls.__module__) or tmp_path).read_text())
    changes = [change for node in _computing(tree) if (change := _change_of(node))]
    data.draw(st.sampled_from(changes))()
    before = code_hash(cls)
    with pytest.MonkeyPatch.context() as patch:
        _replace_source(patch, cls.__module__, tmp_path, ast.unparse(tree))
        assert code_hash(cls) != before


def _computing(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes inside functions, without docstrings, annotations and the texts of errors."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            waiting: list[ast.AST] = list(function.body)
            while waiting:
                node = waiting.pop()
                if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                    continue
                yield node
                waiting += [
                    part for part in ast.iter_child_nodes(node) if part is not getattr(node, "annotation", None)
                ]


def _change_of(node: ast.AST) -> Callable[[], None] | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return lambda: setattr(node, "value", node.value + 1)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return lambda: setattr(node, "value", f"{node.value}x")
    if isinstance(node, ast.BinOp):
        return lambda: setattr(node, "op", ast.Mod() if not isinstance(node.op, ast.Mod) else ast.Add())
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return lambda: setattr(node.func, "attr", f"{node.func.attr}_")  # type: ignore[attr-defined]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return lambda: setattr(node.func, "id", f"{node.func.id}_")  # type: ignore[attr-defined]
    return None


def _replace_source(patch: pytest.MonkeyPatch, module: str, folder: Path, text: str) -> None:
    edited, source = write(folder / f"edited{next(numbers)}.py", text), identity._source
    patch.setattr(identity, "_source", lambda name: edited if name == module else source(name))


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
    text = (identity._source(module) or tmp_path).read_text("utf8") + "\nEXTRA = 1\n"
    _replace_source(monkeypatch, module, tmp_path, text)
    assert {name for name in names if code_hash(list_methods()[name]) != before[name]} == changed
