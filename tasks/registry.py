"""The registered tasks: every ``task.yaml`` under ``tasks/bundled``, found by scanning."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from coterie.tasks.planted_task import PlantedSpec
from coterie.tasks.task import TaskSpec, resolve_paths

BUNDLED = Path(__file__).parent / "bundled"


class UnknownTaskError(ValueError):
    """A task name that is neither registered nor a file."""


class TaskFileError(ValueError):
    """A task file that does not follow the schema."""


@cache
def list_tasks() -> dict[str, Path]:
    """Registered task names and their files."""
    return {path.parent.relative_to(BUNDLED).as_posix(): path for path in sorted(BUNDLED.glob("*/*/task.yaml"))}


def get_task_spec(name: str) -> TaskSpec | PlantedSpec:
    """The specification of a registered task, or of a task file given by its path.

    Raises :class:`UnknownTaskError` with the nearest names, :class:`TaskFileError` with file and field.
    """
    if name in list_tasks():
        return read_task_file(list_tasks()[name])
    if name.endswith((".yaml", ".yml")):
        return read_task_file(Path(name))
    near = get_close_matches(name, list_tasks(), n=3, cutoff=0.4)
    raise UnknownTaskError(
        f"unknown task {name!r}"
        + (f"; did you mean {', '.join(near)}?" if near else "")
        + f" (registered: {', '.join(list_tasks())}; or the path of a .yaml file)"
    )


def read_task_file(path: Path) -> TaskSpec | PlantedSpec:
    """Read and validate a task file; relative reranker folders are relative to the file.

    A file with a ``planting`` is a planted task, any other the task of a reranker.
    """
    try:
        raw = yaml.safe_load(path.read_text("utf8"))
        if isinstance(raw, dict) and "planting" in raw:
            return PlantedSpec.model_validate(raw)
        return resolve_paths(TaskSpec.model_validate(raw), path.parent)
    except OSError as error:
        raise TaskFileError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise TaskFileError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'top level'}: {e['msg']}" for e in error.errors())
        raise TaskFileError(f"{path}: {problems}") from None
