"""YAML files that users write: read safely, checked by pydantic, wrong fields told with their line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

MOST_TOLD = 5  # problems that one error names
LARGEST = 1 << 20  # bytes; nobody writes a megabyte of task by hand


class TaskFileError(ValueError):
    """A task file that cannot be read or does not follow the schema."""


def read_yaml(path: Path) -> tuple[Any, yaml.Node | None]:
    """The values of a YAML file, and its nodes for :func:`told_by_line`. Raises :class:`TaskFileError`."""
    try:
        if path.stat().st_size > LARGEST:
            raise TaskFileError(f"{path}: expected a task file of at most {LARGEST} bytes, got {path.stat().st_size}")
        text = path.read_text("utf8")
        return yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise TaskFileError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TaskFileError(
            f"{path}: expected UTF-8, got byte {error.object[error.start]:#x} at {error.start}"
        ) from None
    except yaml.YAMLError as error:
        raise TaskFileError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def told_by_line(path: Path, error: ValidationError, root: yaml.Node | None) -> TaskFileError:
    """The problems of a file, each as ``file:line: field: expected, got``."""
    told = []
    problems = sorted(error.errors(), key=lambda problem: problem["type"] == "missing")  # what is there comes first
    for problem in problems[:MOST_TOLD]:
        line, fields = _find(root, problem["loc"])
        got = "" if problem["type"] == "missing" else f", got {_short(problem['input'])}"
        told.append(f"{path}:{line}: {'.'.join(fields) or 'top level'}: {problem['msg']}{got}")
    left = error.error_count() - len(told)
    return TaskFileError("; ".join(told) + (f"; and {left} more" if left else ""))


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
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
