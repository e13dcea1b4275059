"""The command classes behind every command: `~` in paths, options under headings, and mistakes in one line."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from coterie.benchmark.errors import ExitCode, Terminated, UsageError
from coterie.tasks.config.paths import expand_home
from coterie.tasks.config.text import did_you_mean, expected_one_of, nearest

TyperUsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for wrong input: click's `UsageError`, which recent versions of typer bundle but do not export."""

_TEXTS_WITH_PATHS = ("task", "tracking_uri", "run_a", "run_b")
_MANY_OPTIONS = 15  # fewer need no headings
_WORDS = {
    "Input should be": "expected",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "Got unexpected extra argument(s)": "unexpected arguments",
}


def expanded(name: str, value: Any) -> Any:
    """A parameter's value with a leading `~` replaced in each path. Raises `ValueError` for an unknown user.

    A shell replaces `~` only at the start of a word, and nothing replaces it in a config file.
    """
    if isinstance(value, list | tuple):
        return type(value)(expanded(name, item) for item in value)
    if isinstance(value, Path):
        return Path(expand_home(str(value)))
    if isinstance(value, str) and name in _TEXTS_WITH_PATHS:
        before, scheme, path = value.rpartition(":///")  # sqlite:///~/mlflow.db
        return before + scheme + expand_home(path)
    return value


def explain_usage_error(error: Any) -> str:
    """One line on what typer refused: `--seeds: expected a valid integer, got 'x'`."""
    context = error.ctx
    fix = "" if context is None else f"; fix: {context.command_path} --help"
    if hasattr(error, "possibilities"):
        known = [name for parameter in context.command.params for name in parameter.opts] if context else []
        near = did_you_mean(error.option_name, known) if nearest(error.option_name, known) else fix
        return f"unknown option {error.option_name!r}{near}"
    message = _in_our_words(error)
    if (parameter := getattr(error, "param", None)) is not None:
        name = parameter.opts[-1] if parameter.param_type_name == "option" else parameter.metavar or parameter.name
        return f"{name}: {message}" if message else f"missing {parameter.param_type_name} {name}{fix}"
    hint = getattr(error, "param_hint", None)
    return f"{hint}: {message}{fix}" if hint else message[:1].lower() + message[1:] + fix


def _in_our_words(error: Any) -> str:
    """Typer's message, reworded as our own errors are: expected this, got that."""
    line = " ".join(error.message.removeprefix("Value error, ").split()).rstrip(".")
    if choice := re.fullmatch(r"'?(?P<got>.*?)'? is not one of (?P<known>.*)", line):
        got, known = choice["got"], [word.strip("'") for word in choice["known"].split(", ")]
        return expected_one_of(known, got)
    for theirs, ours in _WORDS.items():
        line = line.replace(theirs, ours)
    if isinstance(error.__cause__, ValueError) and hasattr(error.__cause__, "errors"):  # pydantic knows the value
        line = f"{line.partition(', ')[0]}, got {error.__cause__.errors()[0]['input']!r}"
    return line


@contextmanager
def _signals_as_exit_codes() -> Iterator[None]:
    """End with one line and an exit code after Ctrl-C and SIGTERM."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("interrupted; finished cells are kept; run again to continue", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except Terminated:
        typer.echo("ended by SIGTERM; finished cells are kept; run again to continue", err=True)
        raise typer.Exit(ExitCode.TERMINATED) from None


class _Expanding:
    """Expands the paths among the parameters before the command runs."""

    def invoke(self, ctx: Any) -> Any:
        for name, value in ctx.params.items():
            try:
                ctx.params[name] = expanded(name, value)
            except ValueError as error:
                raise UsageError(f"{name}: {error}") from None
        return super().invoke(ctx)  # type: ignore[misc]


class Command(_Expanding, TyperCommand):
    """A command. If it has many options, help shows them under the headings that their `rich_help_panel` names."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        parameters = self.get_params(ctx)
        if len(parameters) <= _MANY_OPTIONS:
            super().format_options(ctx, formatter)
            return
        sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for parameter in parameters:
            if (row := parameter.get_help_record(ctx)) is not None:
                sections[getattr(parameter, "rich_help_panel", None) or "Help"].append(row)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


class Group(_Expanding, TyperGroup):
    """A group of commands. The outermost group turns everything that ends a command early into one line and an exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            code = super().main(*args, **{"prog_name": self.name, **options, "standalone_mode": False})
        except TyperUsageError as error:
            sys.exit(_refuse(explain_usage_error(error)))
        except UsageError as error:
            sys.exit(_refuse(str(error)))
        sys.exit(code or ExitCode.OK)

    def invoke(self, ctx: Any) -> Any:
        with _signals_as_exit_codes():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise UsageError(f"unknown command {name!r}{did_you_mean(name, self.commands)}")
        return super().resolve_command(ctx, args)


def _refuse(line: str) -> int:
    typer.echo(f"error: {line}", err=True)
    return ExitCode.USAGE


class App(typer.Typer):
    """A Typer that uses `Command` and `Group` for its commands and groups."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"cls": Group, "rich_markup_mode": None, "add_completion": False, **options})

    def command(self, *names: Any, **options: Any) -> Callable[[Any], Any]:
        return super().command(*names, **{"cls": Command, **options})
