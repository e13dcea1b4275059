"""Methods that propose coalitions of players, one per file. Importing this package imports nothing heavy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coterie.methods.base import Method, MethodError
    from coterie.methods.coalitions import Coalitions
    from coterie.methods.identity import code_hash
    from coterie.methods.registry import IncludeError, broken_plugins, get_method, include, list_methods

_HOMES = {
    "Coalitions": "coalitions",
    "IncludeError": "registry",
    "Method": "base",
    "MethodError": "base",
    "broken_plugins": "registry",
    "code_hash": "identity",
    "get_method": "registry",
    "include": "registry",
    "list_methods": "registry",
}
__all__ = [
    "Coalitions",
    "IncludeError",
    "Method",
    "MethodError",
    "broken_plugins",
    "code_hash",
    "get_method",
    "include",
    "list_methods",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
