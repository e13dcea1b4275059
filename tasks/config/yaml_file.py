"""Read the YAML files that users write, and report each invalid field with its file and line."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from reprlib import Repr
from typing import Any

import yaml
from pydantic import ValidationError

from coterie.tasks.config.text import explain_problem
from coterie.tasks.errors import TaskFileError

MAX_BYTES = 1 << 20  # nobody writes a megabyte of YAML by hand
MAX_REPORTED = 5  # problems in one error

_REPR = Repr()  # abbreviates every level: a few YAML aliases can expand to millions of items
_REPR.maxother = _REPR.maxstring = 80
_MESSAGES = {  # plain wordings for errors that pydantic describes in its own terms
    "extra_forbidden": "unknown field (fix: check its spelling and its place, see docs/tasks.md)",
    "missing": "required, and missing",
    "tuple_type": "expected a list",
    "bool_type": "expected true or false",
    "model_type": "expected a mapping",
}


class StrictLoader(yaml.SafeLoader):
    """A safe loader whose only booleans are `true` and `false`, as in YAML 1.2: `yes`, `no`, `on` and `off` are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - declared as in yaml
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"]
)


class Origin:
    """Where a specification was read, for errors about it. All origins are equal: they say nothing about the task."""

    def __init__(self, source: str, root: yaml.Node | None = None) -> None:
        self.source, self._root = source, root

    def changed_by(self, selector: str, fields: Collection[str]) -> Origin:
        """The origin after a selector has replaced some fields: errors about those name the selector."""
        return _ChangedOrigin(selector, fields, self)

    def at(self, *field: str | int) -> str:
        """The place of a field, in the form in which errors begin: `file:line: field`."""
        return f"{self.line(*field)}: {'.'.join(map(str, field))}"

    def line(self, *field: str | int) -> str:
        """The place of a field without its name: `file:line`."""
        return self.source if self._root is None else f"{self.source}:{_locate(self._root, field)[0]}"

    def locate(self, error: ValidationError) -> TaskFileError:
        """Turn pydantic's error into one line that lists its problems as `file:line: field: expected, got`."""
        problems = sorted(error.errors(), key=lambda problem: problem["type"] == "missing")  # wrong values first
        reported = []
        for problem in problems[:MAX_REPORTED]:
            line, fields = _locate(self._root, problem["loc"])
            got = "" if problem["type"] == "missing" else f", got {_abbreviate(problem['input'])}"
            message = _MESSAGES.get(problem["type"]) or explain_problem(problem)
            reported.append(f"{self.source}:{line}: {'.'.join(fields) or 'top level'}: {message}{got}")
        more = len(problems) - len(reported)
        return TaskFileError("; ".join(reported) + (f"; and {more} more" if more else ""))

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Origin)

    __hash__ = None  # type: ignore[assignment]


class _ChangedOrigin(Origin):
    def __init__(self, selector: str, fields: Collection[str], file: Origin) -> None:
        super().__init__(selector)
        self._fields, self._file = fields, file

    def at(self, *field: str | int) -> str:
        return super().at(*field) if field[0] in self._fields else self._file.at(*field)


def read_yaml(path: Path) -> tuple[Any, Origin]:
    """Read a YAML file strictly; return its value and the origin that locates its fields.

    Raises `TaskFileError` for a file that cannot be read, is larger than 1 MiB, is not UTF-8 or not YAML, or repeats a
    key of a mapping (plain YAML silently keeps the last).
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise TaskFileError(f"{path}: expected a file of at most {MAX_BYTES} bytes, got {size}")
        root = yaml.compose(path.read_text("utf8"), Loader=StrictLoader)
        if repeated := _find_repeated_key(root):
            key, line = repeated
            raise TaskFileError(f"{path}:{line}: {key}: expected once, got twice; fix: leave one out")
        return None if root is None else StrictLoader("").construct_document(root), Origin(str(path), root)
    except OSError as error:
        raise TaskFileError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TaskFileError(
            f"{path}: expected UTF-8, got byte {error.object[error.start]:#x} at {error.start}"
        ) from None
    except TaskFileError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date or number out of range is a ValueError
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:300]
        raise TaskFileError(f"{path}: cannot be read as YAML: {reason}; fix: correct the file") from None


def _find_repeated_key(root: yaml.Node | None) -> tuple[str, int] | None:
    """A key that one mapping contains twice, and the line of its second occurrence."""
    pending, visited = [root], set[int]()
    while pending:
        node = pending.pop()
        if node is None or id(node) in visited:  # an alias may refer to a node that contains it
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending += node.value
        if isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                if (key.tag, str(key.value)) in keys:
                    return str(key.value), key.start_mark.line + 1
                keys.add((key.tag, str(key.value)))
                pending.append(value)
    return None


def _locate(node: yaml.Node | None, location: Sequence[int | str]) -> tuple[int, list[str]]:
    """The line (from 1) of the deepest node on the path to a location, and the names of that path.

    Steps that the file lacks are skipped, except the last: pydantic puts the member of a union, or a missing field, there.
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


def _abbreviate(value: object) -> str:
    text = _REPR.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
