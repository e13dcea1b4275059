"""Names: one rule for tasks, records and folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coterie.tasks.config.names import check_task_name
from coterie.tasks.errors import TaskFileError
from coterie.tasks.registry import read_task_file
from coterie.tracking.record import is_name


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("My Task", "my-task"),
        ("a/b/c", "a/b"),
        (".hidden", "hidden"),
        ("ä", "my-task"),
        ("a/task[layer=1]", "a/task-layer-1"),
        ("x" * 65, "x" * 64),
    ],
)
def test_invalid_task_name_is_refused_with_a_suggestion(name: str, fix: str, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(f"summary: x\nname: {json.dumps(name)}\n")
    with pytest.raises(TaskFileError) as error:
        read_task_file(tmp_path / "task.yaml")
    assert "task.yaml:2: name: expected letters, digits" in str(error.value)
    assert f"(fix: {fix}), got {name!r}" in str(error.value)


@pytest.mark.parametrize("name", ["a", "My/Task", "Qwen/Qwen3-Reranker-0.6B", "a_b.c-d/e", "a/b[layer=1,queries=3]"])
def test_valid_task_name_is_a_valid_record_name(name: str) -> None:
    assert check_task_name(name) == name
    assert is_name(name)


def test_invalid_task_name_is_an_invalid_record_name() -> None:
    for name in ("My Task", "a/b/c", ".a", "", "a/", "a[x y]", "a" * 65, "a\n"):
        assert not is_name(name)
        with pytest.raises(ValueError, match="expected letters"):
            check_task_name(name)
