"""Task files: the bundled ones load, wrong ones are refused with file and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from coterie.tasks import registry
from coterie.tasks.planted_task import PlantedSpec
from coterie.tasks.registry import TaskFileError, UnknownTaskError, get_task_spec, list_tasks


def test_bundled_tasks_are_found_and_named_as_their_folder() -> None:
    assert "pydoc-llama/relevance" in list_tasks()
    for name in list_tasks():
        spec = get_task_spec(name)
        assert spec.name == name
        assert isinstance(spec, PlantedSpec) or Path(spec.reranker.base).is_dir()


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UnknownTaskError, match="did you mean pydoc-llama/relevance"):
        get_task_spec("pydoc-lama/relevance")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "not YAML"),
        ("- a list", "top level"),
        ("name: a/b\nlayers: 2", "layers: Extra inputs"),
        ("layer: minus one", "layer: Input should be a valid integer"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_wrong_task_files(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(text)
    with pytest.raises(TaskFileError, match=says) as error:
        registry.get_task_spec(str(path))
    assert str(path) in str(error.value)


def test_missing_task_file(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match="cannot be read: No such file"):
        get_task_spec(str(tmp_path / "none.yaml"))
