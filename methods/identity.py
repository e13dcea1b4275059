"""What identifies a method's computation: a hash of the code that it runs.

Finished results stay valid exactly as long as this hash stays the same, so it must change with everything that may change
a result and with nothing else.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from coterie.methods.base import Method

# Changes in these modules change no result, so they must not make finished results look out of date.
_INTERFACE = {f"coterie.methods{module}" for module in ("", ".base", ".coalitions", ".identity", ".registry")}

_FIELD_TEXT = {"description", "title", "examples"}  # keywords of pydantic's Field
_UNREAD = {"ctx", "kind", "type_comment", "returns"}  # parts of a syntax tree that change nothing at run time
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_NOTHING = '["Module", {}]'  # the shape of a module that holds imports only
_MOST_PASSED_ON = 9  # packages in a row that pass on a name of one of their modules


def code_hash(cls: type[Method]) -> str:
    """Return the SHA-256 of a method's code: its module and, transitively, the helper modules that this imports.

    Helpers are the modules of `coterie.methods`, without its interface (base, coalitions, identity, registry), and for a
    plug-in the modules of its own top-level package. An import counts whether it runs at the top or inside a function,
    unless it is only for type checkers.

    What counts is the syntax tree of each module, without:

    - comments, formatting, docstrings and any other bare string or constant, `pass`, and `if TYPE_CHECKING:` blocks;
    - import statements (except `from x import *`) and `__all__`. What an imported name refers to does count, wherever the
      name is used: the full path of an object from another package (so `np` and `numpy` are the same), and for a helper its
      content and the name in it. So imports may be reordered or renamed, and helper modules moved or renamed, without a new
      hash;
    - annotations of parameters, return values and variables. Those in class bodies count, as they define the fields of
      dataclasses and pydantic models;
    - text for people: `description`, `title` and `examples` of a `Field`, a class's `reference`, the texts of exceptions
      and assertions (not other values in an exception); and `tiny`, which only the contract suite reads.

    Helpers are compared as a set of contents, so their names do not count, nor does the name of the method's own module:
    an included file and its copy in the folder have the same hash. Versions of Python and of other packages do not count
    either; a record names these separately.
    """
    code = _Code(cls.__module__)
    shapes: dict[str, str] = {}
    waiting = {cls.__module__}
    while waiting:
        name = waiting.pop()
        module = code.module(name)
        if module is not None and name not in shapes:
            shapes[name] = code.shape(module)
            waiting |= module.reached
    own = shapes.pop(cls.__module__, "")
    helpers = sorted(set(shapes.values()) - {_NOTHING})
    return hashlib.sha256(json.dumps([own, helpers]).encode()).hexdigest()


@dataclass(frozen=True)
class _Module:
    """One module, parsed."""

    tree: ast.Module
    """Its syntax tree."""
    names: dict[str, set[str]]
    """Each name that its import statements bind, and the dotted paths that the name may refer to."""
    reached: set[str]
    """Dotted paths that it imports at run time; some are modules, others are objects in modules."""


class _Code:
    """The modules whose code counts for one method, read as they are needed."""

    def __init__(self, own: str) -> None:
        self._roots = ("coterie.methods", own if own.startswith("coterie.") else own.partition(".")[0])
        self._modules: dict[str, _Module | None] = {}
        self._contents: dict[str, str] = {}

    def module(self, name: str) -> _Module | None:
        """The module of this name; None if its code does not count or there is no such module."""
        if name not in self._modules:
            counts = any(name == root or name.startswith(f"{root}.") for root in self._roots)
            file = _source(name) if counts and name not in _INTERFACE else None
            self._modules[name] = None if file is None else _parsed(name, file)
        return self._modules[name]

    def shape(self, module: _Module) -> str:
        """The behaviour of a module as JSON, with imported names spelled out."""
        return self._spelled_out(module, self._content)

    def _content(self, name: str) -> str:
        """What identifies a helper wherever it is: a hash of its shape, in which other helpers count by name only."""
        module = self.module(name)
        if name not in self._contents and module is not None:
            shape = self._spelled_out(module, lambda _helper: "")
            self._contents[name] = hashlib.sha256(shape.encode()).hexdigest()
        return self._contents[name]

    def _spelled_out(self, module: _Module, label: Callable[[str], str]) -> str:
        meanings = {name: self._meaning(paths, label) for name, paths in module.names.items()}
        return json.dumps(_shape(module.tree, meanings), sort_keys=True)

    def _meaning(self, paths: Iterable[str], label: Callable[[str], str], passed_on: int = 0) -> str:
        """What imported paths refer to, wherever helper modules are; `label` identifies a helper by its module's name."""
        found = set()
        for path in paths:
            parent, _, name = path.rpartition(".")
            package = self.module(parent)
            if self.module(path):
                found.add(f"helper {label(path)}")
            elif package and name in package.names and passed_on < _MOST_PASSED_ON:
                found.add(self._meaning(package.names[name], label, passed_on + 1))
            elif package:
                found.add(f"helper {label(parent)}.{name}")
            else:
                found.add(f"coterie.{name}" if path.startswith("coterie.") else path)
        return " or ".join(sorted(found))


def _source(module: str) -> Path | None:
    """The source file of a module; None if there is no such module (an imported name may be a function)."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # its parent is a module, not a package
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


@cache
def _tree(source: bytes) -> ast.Module:
    return ast.parse(source)


def _parsed(name: str, file: Path) -> _Module:
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    tree = _tree(file.read_bytes())
    typing_only = {id(inner) for node in ast.walk(tree) if _is_typing_only(node) for inner in _walk_body(node)}
    names: dict[str, set[str]] = {}
    reached: set[str] = set()
    for node in ast.walk(tree):
        bound = dict(_bound(node, package))
        for alias, path in bound.items():
            names.setdefault(alias, set()).add(path)
        if id(node) not in typing_only:
            reached |= {prefix for path in bound.values() for prefix in (path, path.rpartition(".")[0])}
    return _Module(tree, names, reached)


def _bound(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """What an import statement binds: name (dotted for `import a.b`) and path; `package` resolves relative imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name, alias.name
    elif isinstance(node, ast.ImportFrom):
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        for alias in node.names:
            yield alias.asname or alias.name, f"{base}.{alias.name}"


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and (_dotted(node.test) or "").rpartition(".")[2] == "TYPE_CHECKING"


def _walk_body(node: ast.AST) -> Iterator[ast.AST]:
    for statement in getattr(node, "body", []):
        yield from ast.walk(statement)


def _dotted(node: ast.AST) -> str | None:
    """`a.b.c` for the expression of that text; None for other expressions."""
    if isinstance(node, ast.Attribute):
        start = _dotted(node.value)
        return start and f"{start}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def _meaning(node: ast.AST, meanings: Mapping[str, str]) -> str | None:
    """What an imported name, or an attribute of one, refers to; None for other expressions."""
    path, rest = _dotted(node), ""
    while path:
        if path in meanings:
            return meanings[path] + rest
        path, dot, last = path.rpartition(".")
        rest = f"{dot}{last}{rest}"
    return None


def _shape(node: object, meanings: Mapping[str, str], in_class: bool = False) -> object:
    """A syntax tree as JSON values, without positions, empty fields (new Python versions add some) and text for people.

    `meanings` replaces names and dotted names; `in_class` holds for the body of a class outside its functions.
    """
    if isinstance(node, list):
        return [_shape(item, meanings, in_class) for item in _effective(node, in_class)]
    if not isinstance(node, ast.AST):
        return repr(node)
    if (meaning := _meaning(node, meanings)) is not None:
        return meaning
    kind, parts = type(node).__name__, dict(ast.iter_fields(node))
    if isinstance(node, ast.arg) or (isinstance(node, ast.AnnAssign) and not in_class):
        del parts["annotation"]
    if isinstance(node, ast.AnnAssign) and not in_class:
        kind, parts = "Assign", {"targets": [node.target], "value": node.value}
    elif isinstance(node, ast.Call) and (_meaning(node.func, meanings) or "").rpartition(".")[2] == "Field":
        parts["keywords"] = [keyword for keyword in node.keywords if keyword.arg not in _FIELD_TEXT]
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        arguments = [argument for argument in node.exc.args if not _is_message(argument)]
        parts["exc"] = ast.Call(node.exc.func, arguments, node.exc.keywords)
    elif isinstance(node, ast.Assert):
        del parts["msg"]
    inside = isinstance(node, ast.ClassDef) or (in_class and not isinstance(node, _FUNCTIONS))
    shaped = {
        key: _shape(value, meanings, inside)
        for key, value in parts.items()
        if key not in _UNREAD and value not in (None, [])
    }
    return [kind, {key: value for key, value in shaped.items() if value != []}]


def _effective(nodes: list[ast.AST], in_class: bool) -> Iterator[ast.AST]:
    """The nodes of a list that may change a result: all except statements for readers and type checkers."""
    for node in nodes:
        if _is_typing_only(node):
            yield from _effective(node.orelse, in_class)  # type: ignore[attr-defined]
        elif not (_is_idle(node) or _is_text(node, in_class)):
            yield node


def _is_idle(node: ast.AST) -> bool:
    """Whether a statement does nothing, or only binds imported names, which are spelled out where they are used."""
    if isinstance(node, ast.ImportFrom):
        return all(alias.name != "*" for alias in node.names)
    return isinstance(node, (ast.Import, ast.Pass)) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _is_text(node: ast.AST, in_class: bool) -> bool:
    """Whether a statement is an annotation without a value, `__all__`, or a class attribute that changes no result."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign)):
        return False
    name = _dotted(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
    if in_class:
        return (name == "reference" and _is_message(node.value)) or (
            name == "tiny" and isinstance(node.value, ast.Dict)
        )
    return node.value is None or name == "__all__"


def _is_message(node: ast.AST | None) -> bool:
    """Whether an expression is a string, an f-string or a sum of these."""
    if isinstance(node, ast.BinOp):
        return _is_message(node.left) and _is_message(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
