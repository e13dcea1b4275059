"""Find methods: the files of this folder, entry points of other packages, and files that a user includes.

Nothing is listed by hand. The first look-up imports every module of `coterie.methods` and every entry point of the group
`coterie.methods` (a class, or a module with method classes). Names are unique: a second method of the same name is
refused and never replaces the first. A module that fails to load leaves the others available; `broken_plugins` returns its
error, and the message about an unknown name includes it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import coterie.methods
from coterie.methods.base import Method, MethodError, parse_selector
from coterie.tasks.config.text import did_you_mean
from coterie.tasks.game import Capability

GROUP = "coterie.methods"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class IncludeError(MethodError):
    """A file or plug-in with methods that fails to load. The text names the file and the line."""


class Registry:
    """Method classes by name. One instance serves the process; tests create their own."""

    def __init__(self) -> None:
        self.broken: dict[str, IncludeError] = {}
        """Modules and entry points that failed to load, each with its error."""
        self._methods: dict[str, type[Method]] = {}
        self._included: dict[Path, tuple[bytes, list[type[Method]]]] = {}
        self._scanned = False

    def scan(self) -> dict[str, type[Method]]:
        """Return all methods by name, in alphabetical order. The first call searches for them."""
        if not self._scanned:
            self._scanned = True
            for module in pkgutil.iter_modules(coterie.methods.__path__, "coterie.methods."):
                self._add_plugin(module.name, partial(importlib.import_module, module.name))
            for point in sorted(entry_points(group=GROUP), key=lambda point: point.value):
                self._add_plugin(f"entry point {point.value}", point.load)
        return dict(sorted(self._methods.items()))

    def get(self, selector: str) -> Method:
        """Return the method that `name[parameter=value,...]` selects."""
        name, parameters = parse_selector(selector)
        methods = self.scan()
        if name not in methods:
            broken = "".join(f"; not loaded: {error}" for error in self.broken.values())
            raise MethodError(f"unknown method {name!r}{did_you_mean(name, methods)}{broken}")
        return methods[name].build(parameters)

    def include(self, path: str | Path) -> list[type[Method]]:
        """Load one file outside the package and register its methods.

        Only that file runs: its folder is not added to the path, and no compiled copy is read or written. Including the
        same file again returns the same classes. Raises `IncludeError` (file and line) if anything is wrong with it; none
        of its methods is then registered.
        """
        self.scan()
        file = Path(path).expanduser().resolve()
        try:
            source = file.read_bytes()
        except OSError as error:
            raise IncludeError(f"{path}: cannot be read: {error.strerror}; fix: a Python file with a method") from error
        if file in self._included:
            before, classes = self._included[file]
            if before != source:
                raise IncludeError(f"{path}: has changed since it was included; fix: start a new process")
            return classes
        name = f"_coterie_include_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
        try:
            classes = self._register(_run(name, file, source), str(path))
        except (Exception, SystemExit) as error:  # the file is the user's and may raise anything
            sys.modules.pop(name, None)
            raise _located(error, str(path), file) from error
        self._included[file] = (source, classes)
        return classes

    def _add_plugin(self, origin: str, load: Callable[[], object]) -> None:
        try:
            self._register(load(), origin)
        except (Exception, SystemExit) as error:  # a plug-in may raise anything, and the others must stay available
            self.broken[origin] = _located(error, origin)

    def _register(self, source: object, origin: str) -> list[type[Method]]:
        """Register all methods of a module (or the one class), or none of them."""
        classes = _methods_in(source) if isinstance(source, ModuleType) else [source]
        if not classes and not origin.startswith("coterie.methods."):
            raise IncludeError(f"{origin}:1: expected a subclass of coterie.methods.Method with `discover`, got none")
        added: dict[str, type[Method]] = {}
        for cls in classes:
            method = _checked(cls, origin)
            other = self._methods.get(method.name) or added.get(method.name)
            if other is not None:
                raise IncludeError(
                    f"{_where(method, origin)}: method name {method.name!r} is taken by {_where(other, other.__module__)}; "
                    f"fix: choose another `name`"
                )
            added[method.name] = method
        self._methods.update(added)
        return list(added.values())


_registry = Registry()


def get_method(selector: str) -> Method:
    """Return the method that `name[parameter=value,...]` selects, for example `hedonic-oca[k=2]`.

    Raises `MethodError` with the nearest names if there is no such method or parameter.
    """
    return _registry.get(selector)


def list_methods() -> dict[str, type[Method]]:
    """Return all methods by name, in alphabetical order."""
    return _registry.scan()


def include(path: str | Path) -> list[type[Method]]:
    """Add the methods of one file (`--include`) to this process and return them. See `Registry.include`."""
    return _registry.include(path)


def broken_plugins() -> dict[str, IncludeError]:
    """Return the modules of the methods folder and the entry points that failed to load, each with its error."""
    _registry.scan()
    return dict(_registry.broken)


def _run(name: str, file: Path, source: bytes) -> ModuleType:
    """Execute the source as a module of this name, not through its loader, which would use a compiled copy."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None:
        raise ValueError("expected a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pydantic look up annotations there
    exec(compile(source, str(file), "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the purpose of --include
    return module


def _located(error: BaseException, origin: str, file: Path | None = None) -> IncludeError:
    """The error as one line with file and line: where it arose in `file`, or anywhere if no file is given."""
    if isinstance(error, IncludeError):
        return error
    lines = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename is not None:
        place, text = f"{error.filename}:{error.lineno}", error.msg
    else:
        frame = [line for line in lines if file is None or line.filename == str(file)][-1:]
        place, text = f"{frame[0].filename}:{frame[0].lineno}" if frame else f"{origin}:1", str(error)
    return IncludeError(f"{place}: {type(error).__name__}: {' '.join(text.split())}")


def _methods_in(module: ModuleType) -> list[object]:
    """The concrete methods that a module defines, without those that it imports."""
    found = (cls for cls in vars(module).values() if isinstance(cls, type) and issubclass(cls, Method))
    return list(dict.fromkeys(c for c in found if c.__module__ == module.__name__ and not inspect.isabstract(c)))


def _where(cls: type, origin: str) -> str:
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):  # a class created without source text
        return origin


def _checked(cls: object, origin: str) -> type[Method]:
    """The class, if it declares what `Method` requires. Raises `IncludeError` otherwise."""
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise IncludeError(f"{origin}: expected a subclass of coterie.methods.Method, got {cls!r}")
    name, sees = getattr(cls, "name", None), getattr(cls, "sees", None)
    problem = None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problem = f"`name`: expected lower-case letters, digits and '._-', got {name!r}; fix: name = \"my-method\""
    elif not isinstance(sees, frozenset) or not all(isinstance(item, Capability) for item in sees):
        problem = (
            f"`sees`: expected a frozenset of Capability, got {sees!r}; fix: frozenset({{Capability.ACTIVATIONS}})"
        )
    elif not isinstance(getattr(cls, "reference", None), str):
        problem = '`reference`: expected a citation, got none; fix: reference = "Author (year), title"'
    elif "__dataclass_params__" not in vars(cls):
        problem = "expected a frozen dataclass; fix: @dataclass(frozen=True) above the class"
    elif cls.summary().startswith(f"{cls.__name__}("):  # the docstring that dataclass adds
        problem = "expected a docstring, got none; fix: describe the method in its first line"
    elif missing := [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]:
        problem = f"parameter {missing[0]!r}: expected a default, got none; fix: {missing[0]}: int = 1"
    if problem is not None:
        raise IncludeError(f"{_where(cls, origin)}: {cls.__name__}: {problem}")
    try:
        cls.build(cls().parameters)
    except Exception as error:  # a type without a pydantic schema, or a default out of range
        text = " ".join(str(error).split())
        raise IncludeError(f"{_where(cls, origin)}: {cls.__name__}: parameters: {text}") from error
    return cls
