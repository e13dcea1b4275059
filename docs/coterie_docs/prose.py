"""Docstrings and tables as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from inspect import cleandoc

_SESSION = re.compile(r"(?:^>>> .*(?:\n|\Z))+", re.MULTILINE)
_ARGUMENTS = re.compile(r"^Args:\n((?: {4}.*(?:\n|\Z))+)", re.MULTILINE)
_ARGUMENT = re.compile(r"^ {4}(\w+): ", re.MULTILINE)
_CODE = re.compile(r"``?([^`]+)``?")


def markdown_of(docstring: str | None) -> str:
    """A docstring as Markdown: `>>>` sessions become code blocks, and the `Args:` section a list."""
    text = _ARGUMENTS.sub(_as_list, cleandoc(docstring or ""))
    return _SESSION.sub(lambda session: f"```python\n{session[0].replace('>>> ', '').rstrip()}\n```\n", text)


def body_of(docstring: str | None) -> str:
    """A docstring as Markdown, without its first line."""
    return markdown_of(cleandoc(docstring or "").partition("\n")[2])


def _as_list(arguments: re.Match[str]) -> str:
    return f"Arguments:\n\n{_ARGUMENT.sub(lambda argument: f'- `{argument[1]}`: ', arguments[1])}"


def code(text: object) -> str:
    """Code for running text or a table cell."""
    return f"`{text}`".replace("|", "\\|")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table. Callers escape the cells with `cell` or `code`."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cell(text: object) -> str:
    """Text for a table cell: text in backticks stays code, and everything else is escaped."""
    parts = _CODE.split(" ".join(str(text).split()))
    return "".join(code(part) if number % 2 else _plain(part) for number, part in enumerate(parts))


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]|])", r"\\\1", html.escape(text, quote=False))
