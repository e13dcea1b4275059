"""YAML files that users write: read safely, checked by pydantic, wrong fields told with their line."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from reprlib import Repr
from typing import Any

import yaml
from pydantic import ValidationError

from coterie.tasks.errors import TaskFileError

_REPR = Repr()  # of a few items of each level: an alias may stand for millions
_REPR.maxother = _REPR.maxstring = 80
MOST_TOLD = 5  # problems that one error names
LARGEST = 1 << 20  # bytes; nobody writes a megabyte of task by hand


_PLAIN = {  # what pydantic says in its own terms
    "extra_forbidden": "expected no field of this name here (fix: its spelling, or its place: docs/tasks.md)",
    "missing": "required, and missing",
    "tuple_type": "expected a list",
    "bool_type": "expected true or false",
}


class Words(yaml.SafeLoader):
    """Reads ``yes``, ``no``, ``on`` and ``off`` as the words that they are, as YAML 1.2 does; booleans are true and false."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as yaml declares it
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Words.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"])


class Origin:
    """Where a specification was read. It says nothing of the task, so all origins are equal."""

    def __init__(self, source: str, root: yaml.Node | None = None) -> None:
        self.source, self._root = source, root

    def changed_by(self, selector: str, fields: Collection[str]) -> Origin:
        """The same, where a selector has other values of some fields."""
        return _Selected(selector, fields, self)

    def at(self, *field: str | int) -> str:
        """``file:line: field``, as errors begin."""
        if self._root is None:
            return f"{self.source}: {'.'.join(map(str, field))}"
        return f"{self.source}:{_find(self._root, field)[0]}: {'.'.join(map(str, field))}"

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Origin)

    __hash__ = None  # type: ignore[assignment]


class _Selected(Origin):
    def __init__(self, selector: str, fields: Collection[str], file: Origin) -> None:
        super().__init__(selector)
        self._fields, self._file = fields, file

    def at(self, *field: str | int) -> str:
        return super().at(*field) if field[0] in self._fields else self._file.at(*field)


def read_yaml(path: Path) -> tuple[Any, yaml.Node | None]:
    """The values of a YAML file, and its nodes for :func:`told_by_line`. Raises :class:`TaskFileError`."""
    try:
        if path.stat().st_size > LARGEST:
            raise TaskFileError(f"{path}: expected a task file of at most {LARGEST} bytes, got {path.stat().st_size}")
        text = path.read_text("utf8")
        nodes = yaml.compose(text, Loader=Words)
        if twice := repeated_key(nodes):
            raise TaskFileError(f"{path}:{twice[1]}: {twice[0]}: expected once, stands twice; fix: leave one out")
        return None if nodes is None else Words("").construct_document(nodes), nodes
    except OSError as error:
        raise TaskFileError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TaskFileError(
            f"{path}: expected UTF-8, got byte {error.object[error.start]:#x} at {error.start}"
        ) from None
    except TaskFileError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TaskFileError(f"{path}: not YAML: {why_not(error)}; fix: that place") from None


def why_not(error: Exception) -> str:
    """What is wrong with a text that is no YAML, or whose numbers, dates or nesting are none, in one line."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(str(error).split())[:300]


def told_by_line(path: Path, error: ValidationError, root: yaml.Node | None) -> TaskFileError:
    """The problems of a file, each as ``file:line: field: expected, got``."""
    told = []
    problems = sorted(error.errors(), key=lambda problem: problem["type"] == "missing")  # what is there comes first
    for problem in problems[:MOST_TOLD]:
        line, fields = _find(root, problem["loc"])
        got = "" if problem["type"] == "missing" else f", got {_short(problem['input'])}"
        message = _PLAIN.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        told.append(f"{path}:{line}: {'.'.join(fields) or 'top level'}: {message}{got}")
    left = error.error_count() - len(told)
    return TaskFileError("; ".join(told) + (f"; and {left} more" if left else ""))


def repeated_key(root: yaml.Node | None) -> tuple[str, int] | None:
    """A key that stands twice in one mapping, with the line of the second; YAML would take the last without a word."""
    waiting, visited = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in visited:  # an alias may lead around in a circle
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if (key.tag, str(key.value)) in seen:
                    return str(key.value), key.start_mark.line + 1
                seen.add((key.tag, str(key.value)))
                waiting.append(value)
    return None


def _find(node: yaml.Node | None, location: Sequence[int | str]) -> tuple[int, list[str]]:
    """The line (from 1) of the deepest node on the way to a location, and the way's names.

    Steps that the file does not have are left out: pydantic names a union's member there, or what is missing.
    """
    line, fields = 1, []
    for step in location:
        child = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    line, child = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            child = node.value[step]
            line = child.start_mark.line + 1
        if child is not None:
            node = child
        if child is not None or step == location[-1]:
            fields.append(str(step))
    return line, fields


def _short(value: object) -> str:
    text = _REPR.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
