"""What identifies a method's computation: a hash of the code that it runs.

Finished results stay valid as long as it stays the same, so everything that may change a result must change it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import re
from functools import cache
from pathlib import Path

from coterie.methods.base import Method
from coterie.methods.syntax import (
    FUNCTIONS,
    Module,
    ObjectPath,
    acts,
    dotted,
    imported_by,
    prefixes,
    referred,
    textless,
)

# Changes in these modules change no result, so they must not make finished results look out of date.
_INTERFACE = {
    f"coterie.methods{module}" for module in ("", ".base", ".coalitions", ".identity", ".registry", ".syntax")
}
_COTERIE = Path(__file__).parents[1]

# Text that does not count, and the words in the code of a method by which it might read the text after all.
_READERS = {
    "annotations": "__annotations__|__signature__|get_annotations|get_type_hints|get(full)?argspec|signature|"
    "singledispatch(method)?|validate_(call|arguments)|TypeAdapter|create_model|beartype.*|jaxtyped|typechecked|typeguard",
    "docstrings": "__doc__|getdoc|getsource",
    "fields": "FieldInfo|model_fields|(model_)?json_schema|description|get_type_hints",
    "imports": "eval|exec|globals|locals|vars|__dict__",
    "messages": "except as|__a?exit__|exc_info|format_exc|exception|__context__",
    "notes": "reference|tiny",
    "__all__": r"__all__|\*",
}
_PLAIN_DECORATORS = re.compile(  # they read no annotations of functions; any other might
    r"staticmethod|classmethod|property|functools\.(cache|lru_cache|cached_property|wraps|total_ordering)|numba\.n?jit|"
    r"dataclasses\.dataclass|enum\.unique|abc\.abstractmethod|(typing|typing_extensions)\.(final|override)"
)
_TEXTS = {"description", "title", "examples"}  # keywords of pydantic's Field
_UNREAD = {"ctx", "kind", "type_comment"}  # parts of a syntax tree that change nothing at run time
_MOST_PASSED_ON = 9  # packages in a row that pass on a name of one of their modules


def code_hash(cls: type[Method]) -> str:
    """Return the SHA-256 of a method's code: its module and, transitively, the helper modules that this imports.

    Helpers are the modules of `coterie.methods`, without its interface (base, coalitions, identity, registry), and for a
    plug-in the modules of its own top-level package. They count wherever they are imported, except only for type checkers,
    or named in a string. Of packages that only contain an imported module, their own statements count.
    What counts is the syntax tree of each module, without:
    - comments, formatting, docstrings, other bare constants, `pass`, and `if TYPE_CHECKING:` blocks;
    - import statements and `__all__`. Instead, what a name refers to counts where it is used: an object's full path (so
      `np` and `numpy` are the same), for a helper its content and the name in it, and for another room of coterie the room
      and the name, with the module unless only one defines the name;
    - annotations of parameters, results and variables, unless they contain a call, define fields in the body of a class, or
      belong to a function or class whose decorator may read them;
    - text for people: `description`, `title` and `examples` of pydantic's `Field`; constant text in exceptions and
      assertions; `reference` and `tiny` in classes that derive from `Method`;
    - names of helper modules: an included file and its copy in the folder have the same hash.

    Each counts after all if a word anywhere in the method's code suggests that the code reads it (`_READERS`). An import
    stays in its place if its name may mean something else anywhere in the module: a builtin, another import or a variable;
    or if it is conditional or its name is used out of its scope. All imports stay in a module with a star import, or one
    that is star-imported or used as a value. Not covered: versions of Python and of packages (a record names these), side
    effects of unused imports, modules imported by a computed name, and text read by a computed name.
    """
    code = _Code(cls.__module__)
    shapes = _shapes(code)
    labels = dict.fromkeys(shapes, "")
    for _ in shapes:  # enough to tell apart all helpers that differ, even those that import each other
        labels = {name: _digest([shape, [labels[used] for used in uses]]) for name, (shape, uses) in shapes.items()}
    helpers = {labels[name] for name in code.counted - {code.own} if name in shapes and shapes[name][0]}
    return _digest([labels.get(code.own, ""), sorted(helpers)])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _shapes(code: _Code) -> dict[str, tuple[str, list[str]]]:
    """Each module (`x.*`: x as a whole, all imports kept) that counts or is used: its shape, and the helpers that it uses."""
    shapes: dict[str, tuple[str, list[str]]] = {}
    waiting = set(code.counted)
    while waiting:
        name = waiting.pop()
        module = code.module(name.removesuffix(".*"))
        if module is not None and name not in shapes:
            shaper = _Shaper(code, module, whole=name.endswith(".*") or "imports" in code.read)
            body = shaper.shape(module.tree.body, annotated="annotations" in code.read)
            future = sorted(path for path in module.reached if path[0] == "__future__")
            shape = _digest([body, future]) if body else ""  # only imports
            shapes[name] = (shape, shaper.uses)
            waiting |= set(shaper.uses)
    return shapes


class _Code:
    """The modules whose code counts for one method, read as they are needed."""

    def __init__(self, own: str) -> None:
        self.own = own
        self._roots = ("coterie.methods", own if own.startswith("coterie.") else own.partition(".")[0])
        self._modules: dict[str, Module | None] = {}
        followed, named = self._followed()
        self.counted = {prefix for name in followed for prefix in prefixes(name)} | named  # and names of no modules
        words = {word for name in self.counted if (module := self.module(name)) for word in module.words}
        self.read = {text for text, readers in _READERS.items() if any(re.fullmatch(readers, word) for word in words)}

    def _followed(self) -> tuple[set[str], set[str]]:
        """The modules that the method imports, transitively, and `x.*` for each module x that it names in a string."""
        followed, named, waiting = set[str](), set[str](), {self.own}
        while waiting:
            name = waiting.pop()
            if name in followed or (module := self.module(name)) is None:
                continue
            followed.add(name)
            named |= {f"{word}.*" for word in module.words if "." in word and self.module(word)}
            waiting |= {word.removesuffix(".*") for word in named}
            for start, inner in module.reached:
                parent = self.module(start)
                waiting |= {start, f"{start}.{inner}" if parent is None or parent.package == start else start}
        return followed, named

    def module(self, name: str) -> Module | None:
        """The module of this name; None if its code does not count or there is no such module."""
        if name not in self._modules:
            counts = any(name == root or name.startswith(f"{root}.") for root in self._roots) and name not in _INTERFACE
            file = _source(name) if counts and all(part.isidentifier() for part in name.split(".")) else None
            self._modules[name] = None if file is None else Module(name, file)
        return self._modules[name]

    def resolve(self, path: ObjectPath) -> ObjectPath:
        """Where the object is defined, as far as the imports of helper modules tell."""
        for _ in range(_MOST_PASSED_ON):
            (start, inner), module = path, self.module(path[0])
            first, _, rest = inner.partition(".")
            if module and first in module.exports and (target := module.imports[first]) != (start, first):
                path = target[0], ".".join(filter(None, (target[1], rest)))
            elif first and not (module and first in module.bound - module.exports) and self.module(f"{start}.{first}"):
                path = f"{start}.{first}", rest
            else:
                break
        return path

    def is_method(self, node: ast.ClassDef, module: Module, depth: int = 0) -> bool:
        """Whether a class derives from `Method`, as far as its bases can be followed by name."""
        for base in node.bases:
            start, inner = self.resolve(referred(base, module.imports) or (module.name, dotted(base) or ""))
            home = self.module(start)
            known = home and depth < _MOST_PASSED_ON and home.classes.get(inner)
            derived = home and known and self.is_method(known, home, depth + 1)
            if derived or (start in _INTERFACE and inner == "Method"):
                return True
        return False


class _Shaper:
    """Turns one module's syntax tree into JSON values, without positions, empty fields and text for people."""

    def __init__(self, code: _Code, module: Module, *, whole: bool) -> None:
        self._code, self._module = code, module
        self._spelled_out = {} if whole else module.imports
        self.uses: list[str] = []  # the helpers that the shape refers to by position; `x.*` for module x as a whole

    def shape(self, node: object, in_class: bool = False, annotated: bool = False) -> object:
        """A syntax tree; `in_class` holds in a class outside functions, `annotated` where functions' annotations count."""
        if isinstance(node, list):
            return [self.shape(item, in_class, annotated) for item in node if not self._is_idle(item)]
        if not isinstance(node, ast.AST):
            return repr(node)
        if (path := referred(node, self._spelled_out)) is not None:
            return self._meaning(path)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return ["Import", [[name, self._meaning(path)] for name, path in self._kept(node)]]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            called = [item.func if isinstance(item, ast.Call) else item for item in node.decorator_list]
            annotated |= not all(_PLAIN_DECORATORS.fullmatch(self._full_name(item) or "") for item in called)
        kind, parts = self._parts(node, in_class, annotated)
        inside = isinstance(node, ast.ClassDef) or (in_class and not isinstance(node, FUNCTIONS))
        read = {key: value for key, value in parts.items() if key not in _UNREAD and value not in (None, [])}
        shaped = {key: self.shape(value, inside, annotated) for key, value in read.items()}
        return [kind, {key: value for key, value in shaped.items() if value != []}]

    def _meaning(self, path: ObjectPath) -> str:
        """What an import refers to, wherever helper modules are."""
        start, inner = self._code.resolve(path)
        if self._code.module(start) is None:
            return _canonical(".".join(filter(None, (start, inner))))
        used = start if inner not in ("", "*") else f"{start}.*"
        if used not in self.uses:
            self.uses.append(used)
        return f"helper {self.uses.index(used)}.{inner}"

    def _kept(self, node: ast.AST) -> list[tuple[str, ObjectPath]]:
        """The names that an import statement binds and that are not spelled out where they are used."""
        bound = imported_by(node, self._module.package)
        return [(name, path) for name, path in bound if name not in self._spelled_out and path[0] != "__future__"]

    def _full_name(self, node: ast.AST) -> str | None:
        """The full path of an imported object, or the name of a builtin."""
        if (path := referred(node, self._module.imports)) is not None:
            return ".".join(self._code.resolve(path))
        return node.id if isinstance(node, ast.Name) and not {node.id, "*"} & self._module.bound else None

    def _parts(self, node: ast.AST, in_class: bool, annotated: bool) -> tuple[str, dict[str, object]]:
        """The kind and the fields of a node, as they are if nobody reads the text for people."""
        kind, parts, read = type(node).__name__, dict(ast.iter_fields(node)), self._code.read
        for key in {"annotation", "returns"} & set(parts):
            if parts[key] and not (annotated or (in_class and key == "annotation") or acts(parts[key])):
                del parts[key]
        if isinstance(node, ast.AnnAssign) and "annotation" not in parts and node.value:
            kind, parts = "Assign", {"targets": [node.target], "value": node.value}
        elif isinstance(node, ast.ClassDef) and "notes" not in read and self._code.is_method(node, self._module):
            parts["body"] = [item for item in node.body if not self._is_note(item)]
        elif isinstance(node, ast.Call) and "fields" not in read:
            if self._full_name(node.func) in ("pydantic.Field", "pydantic.fields.Field"):
                parts["keywords"] = [key for key in node.keywords if key.arg not in _TEXTS or acts(key.value)]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and "messages" not in read:
            if (dotted(node.exc.func) or "").endswith(("Error", "Exception")):
                parts["exc"] = ast.Call(node.exc.func, [textless(text) for text in node.exc.args], node.exc.keywords)
        elif isinstance(node, ast.Assert) and node.msg and "messages" not in read:
            parts["msg"] = textless(node.msg)
        return kind, parts

    def _is_note(self, node: ast.stmt) -> bool:
        """Whether a statement in the body of a method only sets `reference` or `tiny`, which no result depends on."""
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and self._full_name(node.annotation) == "typing.ClassVar":
            targets = [node.target]
        name, value = [dotted(target) for target in targets], getattr(node, "value", None)
        if name == ["reference"]:
            return isinstance(value, ast.Constant) and isinstance(value.value, str)
        return name == ["tiny"] and isinstance(value, ast.Dict) and not acts(value)

    def _is_idle(self, node: ast.AST) -> bool:
        """Whether a statement does nothing, or only binds names that are spelled out or that nobody reads."""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return not self._kept(node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return "docstrings" not in self._code.read or not isinstance(node.value.value, str)
        if isinstance(node, ast.Assign) and [dotted(target) for target in node.targets] == ["__all__"]:
            return "__all__" not in self._code.read and not acts(node.value)
        return isinstance(node, ast.Pass)


def _source(module: str) -> Path | None:
    """The source file of a module; None if there is no such module (an imported name may be a function)."""
    try:
        file = getattr(importlib.util.find_spec(module), "origin", None) or ""
    except ModuleNotFoundError:  # its parent is a module, not a package
        return None
    return Path(file) if file.endswith(".py") else None


@cache
def _canonical(path: str) -> str:
    """The label of an object outside the helpers: its path, but `coterie.ROOM.NAME` for the only one of a room."""
    (start, *parts), file = path.split("."), _COTERIE
    while parts and ((file / parts[0]).is_dir() or (file / f"{parts[0]}.py").is_file()):
        file /= parts.pop(0)
    if not parts or file == _COTERIE or start != "coterie":
        return path
    room, name = path.split(".")[1], parts[0]
    definition = re.compile(rf"^(?:(?:(?:async )?def|class) {name}\b|{name}(?::.*)? = )", re.MULTILINE)
    files = [file for file in (_COTERIE / room).rglob("*.py") if definition.search(file.read_text("utf8"))]
    # `coterie.methods` passes on the names of its interface; elsewhere only the defining module is sure to mean this one.
    sure = len(files) == 1 and (files[0].with_suffix("") in (file, file / "__init__") or file == _COTERIE / "methods")
    return ".".join(["coterie", room, *parts]) if sure else path
