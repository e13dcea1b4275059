"""The structure that the rooms' READMEs promise: imports flow one way, and files and functions stay short."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("tasks", "tracking", "methods", "leaderboard", "benchmark")
MAY_IMPORT = {
    "tasks": set(),
    "tracking": set(),
    "methods": {"tasks"},
    "leaderboard": {"tracking"},
    "benchmark": {"tasks", "tracking", "methods", "leaderboard"},
}
FLOWS = {  # a file may import from rooms to its left, and from files of its own room
    "benchmark": (
        ("errors", "quantities"),
        ("protocol",),
        ("runner",),
        ("submissions", "inspection", "transitions", "results"),
        ("perf",),
        ("commands",),
        ("cli",),
    ),
    "leaderboard": (("errors",), ("statistics",), ("entries",), ("board",), ("reports",), ("display",)),
}
MOST_LINES = {"file": 400, "function": 50}


def _files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [path for path in map(Path, listed.stdout.split()) if (ROOT / path).exists()]


@cache
def _modules() -> dict[str, Path]:
    """Modules below the rooms, named from the root: `tasks.engine.replay`."""
    found = {}
    for path in _files():
        if path.parts[0] in ROOMS:
            parts = path.with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes except those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in node.orelse:
                yield other
                yield from _nodes(other)
            continue
        yield node
        yield from _nodes(node)


def _named(node: ast.AST, package: str) -> Iterator[str]:
    """The full names that a node imports, as a statement or by `import_module` with a constant."""
    if isinstance(node, ast.ImportFrom):
        base = resolve_name("." * node.level + (node.module or ""), f"coterie.{package}") if node.level else node.module
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str))


@cache
def _imports(module: str) -> frozenset[str]:
    """The modules of ours that a module imports, at its top or inside a function."""
    path = _modules()[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in _nodes(ast.parse((ROOT / path).read_text())):
        for name in _named(node, package):
            inside = name.removeprefix("coterie.")
            if inside != name:  # the longest part of the name that is a module; the rest is a name in it
                parts = inside.split(".")
                found.add(
                    next((m for n in range(len(parts), 0, -1) if (m := ".".join(parts[:n])) in _modules()), inside)
                )
    return frozenset(found)


def _circles() -> list[list[str]]:
    """Sets of modules each of which imports, directly or not, all others of its set (Tarjan)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in _imports(module) & _modules().keys():
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            circle = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(circle) > 1 or module in _imports(module):
                found.append(sorted(circle))

    for module in _modules():
        if module not in order:
            visit(module)
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert _circles() == []


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_rooms_before_them(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    wrong = {
        f"{module} imports {other}"
        for module in _modules()
        for other in _imports(module)
        if module.split(".")[0] == room and other.split(".")[0] not in allowed
    }
    assert wrong == set()


@pytest.mark.parametrize("room", FLOWS)
def test_imports_inside_a_room_follow_its_flow(room: str) -> None:
    place = {name: number for number, names in enumerate(FLOWS[room]) for name in names}
    inside = [module.split(".") for module in _modules() if module.startswith(f"{room}.")]
    assert {parts[1] for parts in inside} - {"__main__"} <= place.keys(), "every part of the room has its place"
    wrong = set()
    for parts in inside:
        for other in _imports(".".join(parts)):
            named = other.split(".")
            if parts[1] == "__main__" or named[0] != room or len(named) == 1:
                continue
            later = place[named[1]] > place[parts[1]]
            beside = place[named[1]] == place[parts[1]] and named[1] != parts[1] and len(parts) > 2
            if later or beside:
                wrong.add(f"{'.'.join(parts)} imports {other}")
    assert wrong == set()


def test_judging_imports_only_numbers_of_the_leaderboard() -> None:
    protocol = [module for module in _modules() if module.startswith("benchmark.protocol")]
    used = {other for module in protocol for other in _imports(module) if other.startswith("leaderboard")}
    assert all(other.startswith("leaderboard.statistics") for other in used), used


def test_files_and_functions_are_short() -> None:
    long = []
    for path in _files():
        if path.parts[0] == "tests":
            continue
        text = (ROOT / path).read_text()
        if (lines := text.count("\n")) > MOST_LINES["file"]:
            long.append(f"{path}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_LINES["function"]:
                    long.append(f"{path}:{node.lineno}: {node.name}: {lines} lines")
    assert long == []


def test_every_folder_of_code_explains_itself() -> None:
    folders = {path.parent for path in _modules().values()} - {Path("tasks/bundled")}
    assert {folder for folder in folders if not (ROOT / folder / "README.md").exists()} == set()


def test_a_folders_readme_names_all_its_files_and_no_others() -> None:
    wrong = set()
    for folder in {path.parent for path in _modules().values()}:
        named = set(re.findall(r"`([\w./*-]+\.py|[\w.-]+/)`", (ROOT / folder / "README.md").read_text()))
        files = {path.name for path in _modules().values() if path.parent == folder} - {"__init__.py", "__main__.py"}
        wrong |= {f"{folder}/README.md lacks {name}" for name in files - named}
        exist = {
            name
            for name in named
            if "NAME" in name or any((ROOT / above / name).exists() for above in (folder, *folder.parents))
        }
        wrong |= {f"{folder}/README.md names {name}" for name in named - exist}
    assert wrong == set()


def test_imports_of_every_form_are_seen() -> None:
    forms = {
        "from coterie.tasks.engine import replay": "coterie.tasks.engine.replay",
        "from coterie import benchmark": "coterie.benchmark",
        "import coterie.tasks.engine.replay as r": "coterie.tasks.engine.replay",
        "def f():\n    from .engine import replay": "coterie.tasks.engine.replay",
        "from ..benchmark.cli import main": "coterie.benchmark.cli.main",
        "import_module('coterie.tasks.memo')": "coterie.tasks.memo",
        "if not TYPE_CHECKING:\n    from coterie.tasks import memo": "coterie.tasks.memo",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from coterie.tasks import memo": "coterie.tasks.memo",
    }
    for text, name in forms.items():
        found = {found for node in _nodes(ast.parse(text)) for found in _named(node, "tasks")}
        assert name in found, text
    only_types = ast.parse("if TYPE_CHECKING:\n    from coterie.tasks import memo")
    assert not [name for node in _nodes(only_types) for name in _named(node, "tasks")]
