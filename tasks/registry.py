"""The registered tasks: every ``task.yaml`` under ``tasks/bundled``, found by scanning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coterie.tasks.collections.data_spec import FEWEST, Count, bounds
from coterie.tasks.config.names import task_name
from coterie.tasks.config.paths import at_home
from coterie.tasks.config.text import did_you_mean
from coterie.tasks.config.yaml_file import Origin, read_yaml, told_by_line
from coterie.tasks.errors import TaskFileError, UnknownTaskError
from coterie.tasks.planted.game import Layout
from coterie.tasks.planted.task import PlantedSpec
from coterie.tasks.task import TaskSpec, resolve_paths

SELECTABLE = ("layer", "players", "intervention", "readout", "queries")
_NUMBERS = {"layer": 0, "queries": FEWEST}  # those that are whole numbers, and the least of each
_FILES = (".yaml", ".yml")
BUNDLED = Path(__file__).parent / "bundled"


@cache
def list_tasks() -> dict[str, Path]:
    """Registered task names and their files."""
    return {path.parent.relative_to(BUNDLED).as_posix(): path for path in sorted(BUNDLED.glob("*/*/task.yaml"))}


def split_task_selector(selector: str) -> tuple[str, str | None]:
    """``name[layer=1]`` -> ``("name", "layer=1")``, and None where nothing is in brackets at the end; a path may have others."""
    found = re.fullmatch(r"(.*?)\[([^\[\]]*)\]?", selector, re.DOTALL)
    if found is None or (selector.endswith(_FILES) and not selector.endswith("]")):
        return selector, None
    return found[1], found[2] if selector.endswith("]") else ""


def get_task_spec(selector: str) -> TaskSpec | PlantedSpec:
    """The specification of a registered task, or of a task file given by its path.

    ``name[layer=1,readout=lens]`` changes what :data:`SELECTABLE` lists; the task is then named so. ``queries=40`` keeps at
    most 40 discovery queries, 40 held-out ones, and 40 of all transfer domains together. Raises
    :class:`UnknownTaskError` with the nearest names, :class:`TaskFileError` with file, line and field.
    """
    name, inside = split_task_selector(selector)
    if name in list_tasks():
        spec = read_task_file(list_tasks()[name])
    elif name.endswith(_FILES):
        spec = read_task_file(Path(name))
    else:
        known = list_tasks()
        raise UnknownTaskError(f"unknown task {name!r}{did_you_mean(name, known)} (or give the path of a .yaml file)")
    return spec if inside is None else _changed(spec, selector, inside)


def at_layer(selector: str, layer: int) -> TaskSpec:
    """The specification of a reranker's task at one of its layers: as it is named where that is its own, else
    ``name[layer=...]`` with the other changes kept. Raises as :func:`get_task_spec`.
    """
    spec = get_task_spec(selector)
    if isinstance(spec, TaskSpec) and spec.layer == layer:
        return spec
    name, inside = split_task_selector(selector)
    kept = [part for part in (inside or "").split(",") if part and part.partition("=")[0] != "layer"]
    changes = ",".join([f"layer={layer}", *kept])
    return _changed(get_task_spec(name), f"{name}[{changes}]", changes)


def _changed(spec: TaskSpec | PlantedSpec, selector: str, inside: str) -> TaskSpec:
    if isinstance(spec, PlantedSpec):
        raise UnknownTaskError(
            f"task {selector!r}: expected name[parameter=value,...] of a reranker's task, got a planted one, which has nothing "
            f"to change; fix: {spec.name}"
        )
    changes = _changes(selector, inside)
    name = f"{spec.name}[{','.join(f'{name}={changes[name]}' for name in SELECTABLE if name in changes)}]"
    values: dict[str, Any] = {**spec.model_dump(), **changes, "name": name}
    if (wanted := values.pop("queries", None)) is not None:
        values["data"] |= {"queries": _at_most(spec, wanted)}
    try:
        changed = TaskSpec.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        message = problem["msg"].removeprefix("Value error, ")
        raise UnknownTaskError(f"task {selector!r}: {problem['loc'][0]}: {message}, got {problem['input']!r}") from None
    return changed.read_at(spec.origin.changed_by(f"task {selector!r}", set(changes)))


def _changes(selector: str, inside: str) -> dict[str, Any]:
    """The parameters in the brackets; numbers as numbers. Raises :class:`UnknownTaskError`."""
    changes: dict[str, Any] = {}
    for part in inside.split(","):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in SELECTABLE or not re.fullmatch(r"[a-z0-9:._-]{1,60}", value):
            raise UnknownTaskError(
                f"task {selector!r}: expected name[parameter=value,...] of a reranker's task with {', '.join(SELECTABLE)}, "
                f"got {part!r}; fix: pydoc-llama/relevance[layer=1]"
            )
        if key in changes:
            raise UnknownTaskError(f"task {selector!r}: {key}: expected once, got twice; fix: leave one out")
        if key in _NUMBERS:
            least = _NUMBERS[key]
            if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < least:
                raise UnknownTaskError(
                    f"task {selector!r}: {key}: expected a whole number from {least} on, got {value!r}"
                )
        changes[key] = int(value) if key in _NUMBERS else value
    return changes


def _at_most(spec: TaskSpec, wanted: int) -> dict[str, Any]:
    """At most as many queries of each split; of the transfer domains together, rounded up for each."""
    own, domains = spec.data.queries, max(1, len(spec.data.transfer))
    share = max(FEWEST, -(-wanted // domains))

    def fewer(count: Count) -> Count:
        most = bounds(count)[1]
        fewest = share if most is None else min(most, share)
        return fewest if isinstance(count, int) else f"at most {fewest}"

    transfer = own.transfer
    return {
        "discovery": min(own.discovery, wanted),
        "heldout": min(own.heldout, wanted),
        "transfer": {n: fewer(c) for n, c in transfer.items()} if isinstance(transfer, dict) else fewer(transfer),
    }


def read_task_file(path: Path) -> TaskSpec | PlantedSpec:
    """Read and validate a task file; relative reranker folders are relative to the file.

    A file with a ``planting`` is a planted task, any other the task of a reranker.
    """
    try:
        path = Path(at_home(str(path)))
    except ValueError as error:
        raise TaskFileError(str(error)) from None
    raw, nodes = read_yaml(path)
    origin = Origin(str(path), nodes)
    if isinstance(raw, dict) and isinstance(raw.get("name"), str):
        with _told_at(origin, "name", raw["name"]):
            task_name(raw["name"], changed=False)  # the brackets are for selectors
    try:
        spec = (PlantedSpec if isinstance(raw, dict) and "planting" in raw else TaskSpec).model_validate(raw)
    except ValidationError as error:
        raise told_by_line(path, error, nodes) from None
    if isinstance(spec, PlantedSpec):
        with _told_at(origin, "planting"):
            Layout.of(spec.planting)
        return spec
    with _told_at(origin, "reranker"):
        return resolve_paths(spec, path.parent.resolve()).read_at(origin)


@contextmanager
def _told_at(origin: Origin, field: str, *got: str) -> Iterator[None]:
    """Name file, line and field in a ``ValueError``, and what stands there."""
    try:
        yield
    except ValueError as error:
        raise TaskFileError(", got ".join([f"{origin.at(field)}: {error}", *map(repr, got)])) from None


__all__ = [
    "TaskFileError",
    "UnknownTaskError",
    "at_layer",
    "get_task_spec",
    "list_tasks",
    "read_task_file",
    "split_task_selector",
]
