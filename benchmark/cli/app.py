"""The kind of command that all of coterie's are: a leading ``~`` in any path, typed or in a config file, is the home folder.

A shell replaces it only where it stands bare, and a config file is read by no shell: a folder named ``~`` would be made.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from coterie.tasks.config.paths import at_home

_TEXTS = ("task", "tracking_uri", "run_a", "run_b")  # parameters that are texts and may be paths


def expanded(name: str, value: Any) -> Any:
    """A parameter's value with ``~`` replaced in what is a path."""
    if isinstance(value, list | tuple):
        return type(value)(expanded(name, one) for one in value)
    if isinstance(value, Path):
        return Path(at_home(str(value)))
    if isinstance(value, str) and name in _TEXTS:
        before, scheme, path = value.rpartition(":///")  # sqlite:///~/mlflow.db
        return before + scheme + at_home(path)
    return value


def _expand(context: Any) -> None:
    for name, value in context.params.items():
        try:
            context.params[name] = expanded(name, value)
        except ValueError as error:
            raise typer.BadParameter(f"{name}: {error}") from None


class Command(TyperCommand):
    """A command whose paths are expanded before it runs."""

    def invoke(self, ctx: Any) -> Any:
        _expand(ctx)
        return super().invoke(ctx)


class Group(TyperGroup):
    """The same for a group that does something itself."""

    def invoke(self, ctx: Any) -> Any:
        _expand(ctx)
        return super().invoke(ctx)


class App(typer.Typer):
    """A Typer whose commands are all of this kind."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"cls": Group, "rich_markup_mode": None, "add_completion": False, **options})

    def command(self, *names: Any, **options: Any) -> Callable[[Any], Any]:
        return super().command(*names, **{"cls": Command, **options})
