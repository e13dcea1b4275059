"""Names of modules in strings, which no import checks: every one must exist, so that a move cannot miss any."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("benchmark", "leaderboard", "methods", "tasks", "tracking")
MODULE = re.compile(rf"\bcoterie\.(?:{'|'.join(ROOMS)})\b(?:\.\w+)*")
DOTTED = re.compile(r"coterie\.[\w.]+")

DELIBERATELY_MISSING = {  # examples in tests
    "coterie.tasks.nowhere",
    "coterie.tasks.errors.Nowhere",
    "coterie.benchmark.one",
    "coterie.benchmark.two",
}
OTHER_NAMES = {  # not modules: a logger, and tags in MLflow
    "coterie.worker",
    "coterie.dataset_revision",
    "coterie.date",
    "coterie.device",
    "coterie.git_hash",
    "coterie.identity",
    "coterie.kind",
    "coterie.left_out",
    "coterie.method_code_hash",
    "coterie.model",
    "coterie.model_hash",
    "coterie.model_revision",
    "coterie.process",
    "coterie.protocol",
    "coterie.reason",
    "coterie.run",
    "coterie.run_number",
    "coterie.status",
    "coterie.suite",
    "coterie.system_samples",
    "coterie.task_fingerprint",
    "coterie.version",
}


def strings() -> Iterator[tuple[str, str]]:
    """Every string in a Python file of the repository, docstrings included, with its place."""
    for folder in (*ROOMS, "docs", "examples", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def exists(name: str) -> bool:
    """Whether the name is a module, or an attribute of one."""
    parts = name.split(".")
    for n in range(len(parts), 1, -1):
        try:
            if find_spec(".".join(parts[:n])) is None:
                continue
        except ModuleNotFoundError:  # the parent is not a package
            continue
        found: object = import_module(".".join(parts[:n])) if n < len(parts) else None
        for part in parts[n:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_every_module_named_in_a_string_exists() -> None:
    named = {name: place for place, text in strings() for name in MODULE.findall(text)}
    missing = {name: place for name, place in named.items() if not exists(name)}
    assert missing.keys() == DELIBERATELY_MISSING, missing


def test_other_dotted_names_are_known() -> None:
    """A string that looks like a module but does not start with a room is an MLflow tag, a logger or a mistake."""
    found = {text for _, text in strings() if DOTTED.fullmatch(text) and not MODULE.match(text)}
    assert found == OTHER_NAMES
