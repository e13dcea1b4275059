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


# Pairs of packages (module: text) that behave differently.
TWO = {"a": "def f(): return 1\n", "b": "def f(): return 2\n"}
TWINS = {
    **TWO,
    "c": "from PACKAGE.a import f\ndef g(): return f()\n",
    "d": "from PACKAGE.b import f\ndef g(): return f()\n",
}
A, B = "from PACKAGE.a import f\n", "from PACKAGE.b import f\n"
RUN = "def run(): return f()\n"
G, H = "def g():\n    {}return f()\n", "def h():\n    {}return f()\n"
FIELD = "class Field:\n    def __init__(self, title): self.n = title\n"
METHOD_CLASS = "from coterie.methods import Method\nclass M(Method):\n    "
KEPT = "try:\n    raise KeyError({})\nexcept KeyError as error:\n    K = error.args\n"
PAIRS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "imports in try and except": (
        {**TWO, "method": f"try:\n    {A}except ImportError:\n    {B}{RUN}"},
        {**TWO, "method": f"try:\n    {B}except ImportError:\n    {A}{RUN}"},
    ),
    "order of imports of one name": ({**TWO, "method": A + B + RUN}, {**TWO, "method": B + A + RUN}),
    "imports in if and else": (
        {**TWO, "method": f"if K:\n    {A}else:\n    {B}"},
        {**TWO, "method": f"if K:\n    {B}else:\n    {A}"},
    ),
    "imports of two functions": (
        {**TWO, "method": G.format(A + "    ") + H.format(B + "    ")},
        {**TWO, "method": G.format(B + "    ") + H.format(A + "    ")},
    ),
    "imports of two functions from other packages": (
        {"method": G.format("from math import log as f\n    ") + H.format("from cmath import log as f\n    ")},
        {"method": G.format("from cmath import log as f\n    ") + H.format("from math import log as f\n    ")},
    ),
    "import that hides a function": (
        {**TWO, "method": RUN.replace("run", "f") + G.format(A + "    ") + H.format("")},
        {**TWO, "method": RUN.replace("run", "f") + G.format("") + H.format(A + "    ")},
    ),
    "import used out of its scope": (
        {**TWO, "method": G.format(A + "    ") + H.format("")},
        {**TWO, "method": G.format("") + H.format(A + "    ")},
    ),
    "import of the name of a builtin": (
        {"method": "K = pow(2, 3)\nfrom math import pow\n"},
        {"method": "from math import pow\nK = pow(2, 3)\n"},
    ),
    "import before a lambda of its name": (
        {**TWO, "method": f"{A}f = lambda: 9\n"},
        {**TWO, "method": f"f = lambda: 9\n{A}"},
    ),
    "import before a function of its name": (
        {**TWO, "method": f"{A}def f(): return 9\n"},
        {**TWO, "method": f"def f(): return 9\n{A}"},
    ),
    "import with the name of a parameter": (
        {**TWO, "method": "from PACKAGE.a import f as x\ndef run(x, y): return x\n"},
        {**TWO, "method": "from PACKAGE.a import f as y\ndef run(x, y): return y\n"},
    ),
    "order of imports that a package passes on": (
        {**TWO, "__init__": A + B, "method": f"from PACKAGE import f\n{RUN}"},
        {**TWO, "__init__": B + A, "method": f"from PACKAGE import f\n{RUN}"},
    ),
    "helpers that differ by an import": (
        {**TWINS, "method": "from PACKAGE.c import g\nfrom PACKAGE.d import g as k\nK = g() - k()\n"},
        {**TWINS, "method": "from PACKAGE.d import g\nfrom PACKAGE.c import g as k\nK = g() - k()\n"},
    ),
    "helpers that differ by an import, as modules": (
        {**TWINS, "method": "from PACKAGE import c, d\nK = [c, d]\n"},
        {**TWINS, "method": "from PACKAGE import c, d\nK = [d, c]\n"},
    ),
    "default called reference": (
        {"method": "class Options:\n    reference: str = 'mean'\n"},
        {"method": "class Options:\n    reference: str = 'zero'\n"},
    ),
    "reference of another class": (
        {"method": "class Options:\n    reference = 'mean'\n"},
        {"method": "class Options:\n    reference = 'zero'\n"},
    ),
    "tiny of another class": (
        {"method": "class Options:\n    tiny = {'a': 1}\n"},
        {"method": "class Options:\n    tiny = {'a': 2}\n"},
    ),
    "tiny that is read": (
        {"method": f"{METHOD_CLASS}tiny = {{'a': 1}}\n    def run(self): return self.tiny\n"},
        {"method": f"{METHOD_CLASS}tiny = {{'a': 2}}\n    def run(self): return self.tiny\n"},
    ),
    "reference with another name": (
        {"method": f"{METHOD_CLASS}reference = mode = 'a'\n"},
        {"method": f"{METHOD_CLASS}reference = mode = 'b'\n"},
    ),
    "Field of a helper": (
        {"a": FIELD, "method": "from PACKAGE.a import Field\nK = Field(title=3).n\n"},
        {"a": FIELD, "method": "from PACKAGE.a import Field\nK = Field(title=4).n\n"},
    ),
    "Field of a module": (
        {"a": FIELD, "method": "from PACKAGE import a\nK = a.Field(title=3).n\n"},
        {"a": FIELD, "method": "from PACKAGE import a\nK = a.Field(title=4).n\n"},
    ),
    "public names of a star import": (
        {"a": "__all__ = ['f']\nf = q = 1\n", "method": "q = 7\nfrom PACKAGE.a import *\n"},
        {"a": "__all__ = ['f', 'q']\nf = q = 1\n", "method": "q = 7\nfrom PACKAGE.a import *\n"},
    ),
    "public names with another name": ({"method": "__all__ = K = ['a']\n"}, {"method": "__all__ = K = ['b']\n"}),
    "its own TYPE_CHECKING": (
        {"method": "TYPE_CHECKING = True\nif TYPE_CHECKING:\n    K = 1\n"},
        {"method": "TYPE_CHECKING = True\nif TYPE_CHECKING:\n    K = 2\n"},
    ),
    "message that is read": ({"method": KEPT.format("'a'")}, {"method": KEPT.format("'b'")}),
    "call in a message": (
        {"method": "def run(): raise KeyError(f'{L.append(1)}')\n"},
        {"method": "def run(): raise KeyError(f'{L.append(2)}')\n"},
    ),
    "annotation that a decorator reads": (
        {"method": "@register\ndef run(x: int): return x\n"},
        {"method": "@register\ndef run(x: str): return x\n"},
    ),
    "annotation that pydantic reads": (
        {"method": "from pydantic import validate_call\ndef f(x: int): return x\nrun = validate_call(f)\n"},
        {"method": "from pydantic import validate_call\ndef f(x: float): return x\nrun = validate_call(f)\n"},
    ),
    "side effect of a package": (
        {**TWO, "__init__": "print(1)\n", "method": A + RUN},
        {**TWO, "__init__": "print(2)\n", "method": A + RUN},
    ),
    "helper named in a string": (
        {"a": "K = 1\n", "method": "import importlib\nK = importlib.import_module('PACKAGE.a').K\n"},
        {"a": "K = 2\n", "method": "import importlib\nK = importlib.import_module('PACKAGE.a').K\n"},
    ),
    "docstring that is read": (
        {"method": "def f():\n    'x'\nK = len(f.__doc__)\n"},
        {"method": "def f():\n    'xyz'\nK = len(f.__doc__)\n"},
    ),
    "objects of one name in two modules": (
        {"method": "from coterie.benchmark.one import load\nload()\n"},
        {"method": "from coterie.benchmark.two import load\nload()\n"},
    ),
}


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
