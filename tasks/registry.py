"""Find tasks by name or file: the bundled ones are the files `bundled/*/*/task.yaml`, found by scanning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from coterie.tasks.config.names import check_task_name
from coterie.tasks.config.paths import expand_home
from coterie.tasks.config.text import did_you_mean
from coterie.tasks.config.yaml_file import Origin, read_yaml
from coterie.tasks.errors import TaskFileError, UnknownTaskError
from coterie.tasks.kinds import kind_of
from coterie.tasks.selector import FILE_SUFFIXES, apply_changes, split_task_selector
from coterie.tasks.task import TaskSpec
from coterie.tasks.task_spec import RerankerTaskSpec

BUNDLED = Path(__file__).parent / "bundled"


@cache
def list_tasks() -> dict[str, Path]:
    """The names of the registered tasks and their files."""
    return {path.parent.relative_to(BUNDLED).as_posix(): path for path in sorted(BUNDLED.glob("*/*/task.yaml"))}


def get_task_spec(selector: str) -> TaskSpec:
    """The specification of a registered task, or of a task file given by its path.

    `name[layer=1,readout=lens]` changes parameters of a reranker's task, and its name with them; `queries=40` keeps at most
    40 discovery queries, 40 held-out ones, and 40 of all transfer domains together. Raises `UnknownTaskError` with similar
    names, or `TaskFileError` with file, line and field.
    """
    name, changes = split_task_selector(selector)
    spec = _find(name)
    return spec if changes is None else apply_changes(_require_reranker(spec, selector, name), selector, changes)


def get_reranker_spec(selector: str) -> RerankerTaskSpec:
    """Like `get_task_spec`, but only for a reranker's task. Raises `UnknownTaskError` for any other kind as well."""
    name, changes = split_task_selector(selector)
    spec = _require_reranker(_find(name), selector, "choose one from coterie ls tasks")
    return spec if changes is None else apply_changes(spec, selector, changes)


def at_layer(selector: str, layer: int) -> RerankerTaskSpec:
    """The specification of a reranker's task at one of its layers, with other changes of the selector kept.

    At its own layer the task keeps its name; at others it becomes `name[layer=...]`. Raises as `get_reranker_spec` does.
    """
    spec = get_reranker_spec(selector)
    if spec.layer == layer:
        return spec
    name, changes = split_task_selector(selector)
    kept = [part for part in (changes or "").split(",") if part and part.partition("=")[0] != "layer"]
    text = ",".join([f"layer={layer}", *kept])
    return apply_changes(get_reranker_spec(name), f"{name}[{text}]", text)


def _find(name: str) -> TaskSpec:
    if name in list_tasks():
        return read_task_file(list_tasks()[name])
    if name.endswith(FILE_SUFFIXES):
        return read_task_file(Path(name))
    similar = did_you_mean(name, list_tasks())
    raise UnknownTaskError(f"unknown task {name!r}{similar} (or give the path of a .yaml file)")


def _require_reranker(spec: TaskSpec, selector: str, fix: str) -> RerankerTaskSpec:
    if isinstance(spec, RerankerTaskSpec):
        return spec
    raise UnknownTaskError(
        f"task {selector!r}: expected a reranker's task, got a {spec.group} one, which has no layers or other parameters to "
        f"change and no training; fix: {fix}"
    )


def read_task_file(path: Path) -> TaskSpec:
    """Read and validate a task file; relative paths in it are relative to its folder. Raises `TaskFileError`."""
    try:
        path = Path(expand_home(str(path)))
    except ValueError as error:
        raise TaskFileError(str(error)) from None
    values, origin = read_yaml(path)
    if isinstance(values, dict) and isinstance(name := values.get("name"), str):
        with _located(origin, "name", name):
            check_task_name(name, allow_changes=False)
    if not isinstance(values, dict):
        got = "nothing" if values is None else f"a {type(values).__name__}"
        raise TaskFileError(
            f"{path}: expected a mapping with name, summary, reranker, ..., got {got}; fix: see docs/tasks.md"
        )
    kind = kind_of(values)
    try:
        spec = kind.spec.model_validate(values)
    except ValidationError as error:
        raise origin.locate(error) from None
    with _located(origin, kind.field):
        return spec.resolved_in(path.parent.resolve()).read_at(origin)


@contextmanager
def _located(origin: Origin, field: str, *got: str) -> Iterator[None]:
    """Turn a `ValueError` into a `TaskFileError` that begins with file, line and field and ends with the value found."""
    try:
        yield
    except ValueError as error:
        raise TaskFileError(", got ".join([f"{origin.at(field)}: {error}", *map(repr, got)])) from None
