"""Atomic writing: readers see the old file or the new one, and errors leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from coterie.tasks.atomic import replacing, replacing_files


def test_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for text in ("one", "two"):
        with replacing(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "one"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_error_keeps_the_old_file_and_removes_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail_halfway() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_last_file_moves_after_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    monkeypatch.setattr("os.replace", lambda source, target: (moved.append(target.name), Path(source).rename(target)))
    with replacing_files(tmp_path / "folder", last="a") as temporary:
        for name in ("a", "b", "c"):
            (temporary / name).write_text(name)
    assert moved == ["b", "c", "a"]
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["a", "b", "c"]


def test_error_moves_no_file(tmp_path: Path) -> None:
    def fail_at_the_end() -> None:
        with replacing_files(tmp_path, last="a") as temporary:
            (temporary / "a").write_text("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_at_the_end()
    assert list(tmp_path.iterdir()) == []
