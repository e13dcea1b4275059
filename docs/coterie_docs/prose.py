"""Docstrings and tables as Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from inspect import cleandoc

_ROLE = re.compile(r":(class|func|meth|mod|attr|data):`~?([\w.]+)`")
_SESSION = re.compile(r"(?:^>>> .*(?:\n|\Z))+", re.MULTILINE)
_CODE = re.compile(r"``?([^`]+)``?")
_LITERAL = re.compile(r"::$", re.MULTILINE)  # "as follows::", before an indented block


def markdown_of(docstring: str | None) -> str:
    """A docstring as Markdown: ``:class:`a.B``` becomes a link to the Python reference where that has it, else code."""
    text = _LITERAL.sub(":", _ROLE.sub(_reference, cleandoc(docstring or "")))
    return _SESSION.sub(lambda session: f"```python\n{session[0].replace('>>> ', '').rstrip()}\n```\n", text)


def body_of(docstring: str | None) -> str:
    """The same without the first line, which is the summary."""
    return markdown_of(cleandoc(docstring or "").partition("\n")[2])


def _reference(role: re.Match[str]) -> str:
    kind, target = role.groups()
    shown = target if kind == "mod" else target.rpartition(".")[2]
    return f'<autoref identifier="{target}" optional><code>{shown}</code></autoref>'


def code(text: object) -> str:
    """Code in running text or in a cell."""
    return f"`{text}`".replace("|", "\\|")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; ``|`` and line breaks in cells are escaped by the caller's :func:`cell` or :func:`code`."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cell(text: object) -> str:
    """Text for a cell: code in backticks stays code, nothing else in it is markup."""
    parts = _CODE.split(" ".join(str(text).split()))
    return "".join(code(part) if number % 2 else _plain(part) for number, part in enumerate(parts))


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]|])", r"\\\1", html.escape(text, quote=False))
