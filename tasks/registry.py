"""The registered tasks: every ``task.yaml`` under ``tasks/bundled``, found by scanning."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from coterie.tasks.planted_task import PlantedSpec
from coterie.tasks.task import TaskSpec, resolve_paths
from coterie.tasks.yaml_file import TaskFileError, read_yaml, told_by_line

SELECTABLE = ("layer", "players", "intervention", "readout", "queries")
BUNDLED = Path(__file__).parent / "bundled"


class UnknownTaskError(ValueError):
    """A task name that is neither registered nor a file."""


@cache
def list_tasks() -> dict[str, Path]:
    """Registered task names and their files."""
    return {path.parent.relative_to(BUNDLED).as_posix(): path for path in sorted(BUNDLED.glob("*/*/task.yaml"))}


def get_task_spec(selector: str) -> TaskSpec | PlantedSpec:
    """The specification of a registered task, or of a task file given by its path.

    ``name[layer=1,readout=lens]`` changes what :data:`SELECTABLE` lists; the task is then named so. ``queries=40`` keeps at
    most 40 discovery queries, 40 held-out ones, and 40 of all transfer domains together. Raises
    :class:`UnknownTaskError` with the nearest names, :class:`TaskFileError` with file, line and field.
    """
    name, bracket, rest = selector.partition("[")
    if name in list_tasks():
        spec = read_task_file(list_tasks()[name])
    elif name.endswith((".yaml", ".yml")):
        spec = read_task_file(Path(name))
    else:
        near = get_close_matches(name, list_tasks(), n=3, cutoff=0.4)
        raise UnknownTaskError(
            f"unknown task {name!r}"
            + (f"; did you mean {', '.join(near)}?" if near else "")
            + f" (registered: {', '.join(list_tasks())}; or the path of a .yaml file)"
        )
    return _changed(spec, selector, rest) if bracket else spec


def at_layer(selector: str, layer: int) -> TaskSpec:
    """The specification of a reranker's task at one of its layers: as it is named where that is its own, else
    ``name[layer=...]`` with the other changes kept. Raises as :func:`get_task_spec`.
    """
    spec = get_task_spec(selector)
    if isinstance(spec, TaskSpec) and spec.layer == layer:
        return spec
    name, _, rest = selector.partition("[")
    kept = [part for part in rest.removesuffix("]").split(",") if part and part.partition("=")[0] != "layer"]
    inside = f"[{','.join([f'layer={layer}', *kept])}]"
    return _changed(get_task_spec(name), name + inside, inside[1:])


def _changed(spec: TaskSpec | PlantedSpec, selector: str, rest: str) -> TaskSpec:
    changes = dict(part.partition("=")[::2] for part in rest.removesuffix("]").split(","))
    if isinstance(spec, PlantedSpec) or not rest.endswith("]") or not set(changes) <= set(SELECTABLE):
        raise UnknownTaskError(
            f"task {selector!r}: expected name[parameter=value,...] of a reranker's task with {', '.join(SELECTABLE)}; "
            f"fix: pydoc-llama/relevance[layer=1]"
        )
    inside = ",".join(f"{name}={changes[name]}" for name in SELECTABLE if name in changes)
    values = {**spec.model_dump(), **changes, "name": f"{spec.name}[{inside}]"}
    if (wanted := values.pop("queries", None)) is not None:
        values["data"] |= {"queries": _at_most(spec, selector, wanted)}
    try:
        return TaskSpec.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UnknownTaskError(
            f"task {selector!r}: {problem['loc'][0]}: {problem['msg']}, got {problem['input']!r}"
        ) from None


def _at_most(spec: TaskSpec, selector: str, wanted: str) -> dict[str, int]:
    """So many queries of each split, where the task has as many; rounded up for each transfer domain."""
    if not wanted.isdecimal() or int(wanted) < 2:
        raise UnknownTaskError(f"task {selector!r}: queries: expected a whole number from 2 on, got {wanted!r}")
    own, domains = spec.data.queries, max(1, len(spec.data.transfer))
    return {
        "discovery": min(own.discovery, int(wanted)),
        "heldout": min(own.heldout, int(wanted)),
        "transfer": min(own.transfer, max(2, -(-int(wanted) // domains))),
    }


def read_task_file(path: Path) -> TaskSpec | PlantedSpec:
    """Read and validate a task file; relative reranker folders are relative to the file.

    A file with a ``planting`` is a planted task, any other the task of a reranker.
    """
    raw, nodes = read_yaml(path)
    try:
        if isinstance(raw, dict) and "planting" in raw:
            return PlantedSpec.model_validate(raw)
        return resolve_paths(TaskSpec.model_validate(raw), path.parent.resolve())
    except ValidationError as error:
        raise told_by_line(path, error, nodes) from None


__all__ = ["TaskFileError", "UnknownTaskError", "at_layer", "get_task_spec", "list_tasks", "read_task_file"]
