"""What identifies a method's computation: a hash of the code that it runs."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from pathlib import Path

from coterie.methods.base import Method

# They compute nothing: a change in them changes no result, so it must not make finished results look out of date.
_INTERFACE = {f"coterie.methods{module}" for module in ("", ".base", ".coalitions", ".identity", ".registry")}

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_hash(cls: type[Method]) -> str:
    """SHA-256 over the method's module and the helper modules that it imports, transitively, lazily or not.

    Helpers are modules of ``coterie.methods`` (without its interface: base, coalitions, identity, registry) and, for a
    plug-in, modules of its own top-level package. What counts is the syntax tree without docstrings: comments,
    docstrings and formatting change nothing, nor does the Python version. The method's own module counts without its
    name, so a file that was included and its copy in the folder hash the same.
    """
    own = cls.__module__
    roots = {"coterie.methods", own if own.startswith("coterie.") else own.partition(".")[0]}
    trees: dict[str, object] = {}
    waiting = {own}
    while waiting:
        name = waiting.pop()
        file = _source(name)
        label = "" if name == own else name
        if file is None or label in trees or name in _INTERFACE:
            continue
        tree = ast.parse(file.read_bytes(), str(file))
        trees[label] = _shape(tree)
        imported = _imports(tree, name if file.name == "__init__.py" else name.rpartition(".")[0])
        waiting |= {m for m in imported if any(m == root or m.startswith(f"{root}.") for root in roots)}
    return hashlib.sha256(json.dumps(trees, sort_keys=True).encode()).hexdigest()


def _source(module: str) -> Path | None:
    """The source file of a module; None where there is no such module (an imported name may be a function)."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # its parent is a module, not a package
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _imports(tree: ast.Module, package: str) -> set[str]:
    """Names that may be modules among what the tree imports; `package` resolves relative imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def _shape(node: object) -> object:
    """A syntax tree as JSON values: no positions, no docstrings, no empty fields (new Python versions add such)."""
    if isinstance(node, list):
        return [_shape(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = dict(ast.iter_fields(node))
    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        parts["body"] = node.body[1:]
    return [type(node).__name__, {key: _shape(value) for key, value in parts.items() if value not in (None, [])}]
