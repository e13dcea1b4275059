"""One module's syntax tree, and what the names in it mean: what `identity.py` compares."""

from __future__ import annotations

import ast
import builtins
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

Scope = tuple[ast.AST, ...]
"""The functions around a node, outermost first."""
ObjectPath = tuple[str, str]
"""A module, and the dotted name of an object in it (empty for the module)."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
ACTS = (ast.Call, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
"""Expressions that may do more than return a value."""


class Module:
    """One module, parsed, and what its names mean."""

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self.package = name if file.name == "__init__.py" else name.rpartition(".")[0]  # where relative imports start
        self.tree = parse(file.read_bytes(), self.package)
        self._paths: dict[str, set[ObjectPath]] = {}  # what imports bind
        self._scopes: dict[str, set[Scope]] = {}  # where they bind it
        self._uses: dict[str, set[Scope]] = {}
        self._unclear = set(dir(builtins))  # names with another meaning somewhere, or bound under a condition
        self._scan(self.tree)
        self.imports = self._settled()  # names (dotted for `import a.b`) that mean one import wherever they are used
        self.exports = {name for name in self.imports if () in self._scopes[name]}  # those bound at the top
        bound = [name for node in ast.walk(self.tree) for name in bound_by(node)] + list(self._paths)
        self.bound = set(bound)  # all names, in any scope; `*` for a star import
        classes = [node for node in self.tree.body if isinstance(node, ast.ClassDef)]
        self.classes = {node.name: node for node in classes if bound.count(node.name) == 1}
        self.reached = {path for paths in self._paths.values() for path in paths}
        self.words = {word for node in ast.walk(self.tree) for word in words_of(node)}  # by which it may read something

    def _scan(self, node: ast.AST, scope: Scope = (), sure: bool = False) -> None:
        """Note imports, bindings and uses; `sure` holds for statements of a module or function outside any other statement."""
        for name, path in imported_by(node, self.package):
            self._paths.setdefault(name, set()).add(path)
            self._scopes.setdefault(name, set()).add(scope)
            self._unclear |= set() if sure else {name}
        self._unclear |= set(bound_by(node))
        if isinstance(node, ast.Name):
            self._uses.setdefault(node.id, set()).add(scope)
        body = getattr(node, "body", None) if isinstance(node, (ast.Module, *FUNCTIONS)) else None
        hints = (getattr(node, "annotation", None), getattr(node, "returns", None))
        for child in ast.iter_child_nodes(node):
            if child not in hints:
                inside = child is body or (isinstance(body, list) and child in body)
                self._scan(child, (*scope, node) if inside and isinstance(node, FUNCTIONS) else scope, inside)

    def _settled(self) -> dict[str, ObjectPath]:
        clear = set(self._paths if "*" not in self._paths else ()) - self._unclear
        for name in clear & set(self._uses):
            if not all(any(use[: len(scope)] == scope for scope in self._scopes[name]) for use in self._uses[name]):
                clear.remove(name)
        only = {name: next(iter(paths)) for name, paths in self._paths.items() if len(paths) == 1}
        return {name: path for name, path in only.items() if name.partition(".")[0] in clear & set(only)}


@cache
def parse(source: bytes, package: str) -> ast.Module:
    """The syntax tree without the blocks of `if TYPE_CHECKING:`."""
    tree = ast.parse(source)
    meanings: dict[str, set[ObjectPath]] = {name: {("", "")} for node in ast.walk(tree) for name in bound_by(node)}
    for name, path in (bound for node in ast.walk(tree) for bound in imported_by(node, package)):
        meanings.setdefault(name, set()).add(path)
    only = {name: paths.pop() for name, paths in meanings.items() if len(paths) == 1}

    class RunTime(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
            self.generic_visit(node)
            return node.orelse if referred(node.test, only) == ("typing", "TYPE_CHECKING") else node

    RunTime().visit(tree)
    return tree


def imported_by(node: ast.AST, package: str) -> Iterator[tuple[str, ObjectPath]]:
    """What an import statement binds: names (for `import a.b` also dotted) and paths; `package` is for relative imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            for name in [alias.name] if alias.asname else prefixes(alias.name):
                yield alias.asname or name, (name, "")
    elif isinstance(node, ast.ImportFrom):
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        for alias in node.names:
            yield alias.asname or alias.name, (base, alias.name)


def bound_by(node: ast.AST) -> list[str]:
    """The names that a node binds or deletes, other than by an import."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, (ast.Global, ast.Nonlocal)):
        return node.names
    names = [node.arg] if isinstance(node, ast.arg) else [getattr(node, "name", None), getattr(node, "rest", None)]
    return [name for name in names if isinstance(name, str) and not isinstance(node, ast.alias)]


def words_of(node: ast.AST) -> list[str]:
    """The words of a node that may name what the code reads."""
    if isinstance(node, ast.Name):
        return [node.id] if isinstance(node.ctx, ast.Load) else []
    words = [getattr(node, part, None) for part in ("attr", "value", "name")] + getattr(node, "kwd_attrs", [])
    words += ["except as"] if isinstance(node, ast.ExceptHandler) and node.name else []
    return [part for word in words if isinstance(word, str) for part in (word, *word.split("."))]


def prefixes(name: str) -> list[str]:
    """`a`, `a.b` and `a.b.c` for `a.b.c`."""
    return [name[: dot.start()] for dot in re.finditer(r"\.|$", name)]


def dotted(node: ast.AST) -> str | None:
    """`a.b.c` for the expression of that text; None for other expressions."""
    if isinstance(node, ast.Attribute):
        start = dotted(node.value)
        return start and f"{start}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def referred(node: ast.AST, imports: dict[str, ObjectPath]) -> ObjectPath | None:
    """What an imported name, or an attribute of one, refers to; None for other expressions."""
    name = dotted(node) or ""
    for prefix in reversed(prefixes(name)):
        if prefix in imports:
            return imports[prefix][0], (imports[prefix][1] + name[len(prefix) :]).lstrip(".")
    return None


def acts(node: ast.AST) -> bool:
    return any(isinstance(inner, ACTS) for inner in ast.walk(node))


def textless(node: ast.expr) -> ast.expr:
    """A message without its constant text; the values in an f-string stay."""
    if isinstance(node, ast.JoinedStr):
        return ast.JoinedStr([part for part in node.values if isinstance(part, ast.FormattedValue)])
    return ast.JoinedStr([]) if isinstance(node, ast.Constant) and isinstance(node.value, str) else node
