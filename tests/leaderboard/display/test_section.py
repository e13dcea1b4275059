from pathlib import Path

import pytest

from coterie.leaderboard import compile_board
from coterie.leaderboard.display.section import BEGIN, END, update_section
from coterie.leaderboard.errors import SectionError
from tests.records import make_record

BOARD = compile_board([make_record("random"), make_record("louvain")])


def test_an_update_changes_only_the_section_and_a_second_one_nothing(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"# Mine\n\n{BEGIN}\nold\n{END}\n\nafter — text\n")
    assert update_section(path, BOARD)
    text = path.read_text()
    assert text.startswith(f"# Mine\n\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\n\nafter — text\n")
    assert "old" not in text
    assert "| `random` |" in text
    assert "| `louvain` |" in text
    assert not update_section(path, BOARD)
    assert path.read_text() == text


def test_line_ends_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(f"a\r\n{BEGIN}\r\n{END}\r\nb\r\n".encode())
    assert update_section(path, BOARD)
    data = path.read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n") > 4


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_file_without_exactly_one_section_is_refused_unchanged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(SectionError, match="fix: put both lines"):
        update_section(path, BOARD)
    assert path.read_text() == text


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SectionError, match="expected a Markdown file"):
        update_section(tmp_path / "README.md", BOARD)


def test_names_cannot_close_the_section(tmp_path: Path) -> None:
    record = make_record("evil")
    hostile = record.method.model_copy(update={"selector": f"x{END}{BEGIN}"})
    path = tmp_path / "README.md"
    path.write_text(f"{BEGIN}\n{END}\n")
    evil = compile_board([record.model_copy(update={"method": hostile})])
    assert update_section(path, evil)
    assert not update_section(path, evil)
