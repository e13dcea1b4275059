"""Pictures are the same everywhere: settings of the working folder and of the process change nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coterie.leaderboard import compile_board
from coterie.leaderboard.display.budget_plot import draw_budgets
from coterie.leaderboard.display.drawing import own_style
from tests.leaderboard.board.test_budgets import CHEAP, DEAR, DROP
from tests.records import make_record

ROOT = Path(__file__).parents[3]
DRAW = """
import hashlib
from pathlib import Path
from coterie.benchmark.transitions.picture import draw
from coterie.leaderboard import compile_board
from coterie.leaderboard.display.budget_plot import draw_budgets
from coterie.leaderboard.board.changes import history_frame
from coterie.leaderboard.display.history_plot import write_history_plot
from coterie.leaderboard.reports.flow import diagram
from tests.leaderboard.made_reports import transitions
from tests.leaderboard.board.test_budgets import CHEAP, DEAR, DROP
from tests.records import make_record
board = compile_board([make_record(m, metrics=[DROP]) for m in (DEAR, CHEAP)])
Path("budgets").write_text(draw_budgets(board, board.tasks[0]))
write_history_plot(history_frame([make_record("m", seed=s) for s in range(2)]), Path("history"))
draw(diagram(transitions(make_record("a"), make_record("b")), 5), "title", Path("png"), Path("svg"))
for name in ("budgets", "history", "png", "svg"):
    print(name, hashlib.sha256(Path(name).read_bytes()).hexdigest())
"""
LOUD = """
axes.facecolor: red
font.size: 30
figure.dpi: 20
figure.constrained_layout.use: False
lines.linewidth: 9
savefig.format: pdf
savefig.facecolor: black
savefig.bbox: tight
svg.fonttype: none
text.usetex: True
"""


def drawn_in(folder: Path) -> tuple[str, str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", DRAW], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    pictures, printed = drawn_in(tmp_path_factory.mktemp("plain"))
    assert printed == ""
    return pictures


def test_settings_of_the_working_folder_change_no_picture(plain: str, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(LOUD)
    assert drawn_in(tmp_path) == (plain, "")


def test_unreadable_settings_are_reported_in_one_line(plain: str, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe\x00 axes.facecolor: red")
    pictures, printed = drawn_in(tmp_path)
    assert pictures == plain
    assert f"{tmp_path / 'matplotlibrc'}: expected matplotlib settings as UTF-8 text, got: " in printed.splitlines()[-1]


def test_settings_of_the_process_change_no_picture_and_are_restored() -> None:
    import matplotlib as mpl

    board = compile_board([make_record(m, metrics=[DROP]) for m in (DEAR, CHEAP)])
    expected = draw_budgets(board, board.tasks[0])
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30, "svg.hashsalt": "mine"}):
        before = dict(mpl.rcParams)
        assert draw_budgets(board, board.tasks[0]) == expected
        assert dict(mpl.rcParams) == before
        with own_style():
            assert mpl.rcParams["font.size"] == mpl.rcParamsDefault["font.size"]


def test_everything_drawn_with_matplotlib_uses_this_style() -> None:
    drawing = [
        path
        for folder in ("benchmark", "leaderboard", "methods", "tasks", "tracking")
        for path in (ROOT / folder).rglob("*.py")
        if ".savefig(" in path.read_text("utf8")
    ]
    assert len(drawing) >= 3
    assert [path.name for path in drawing if "with own_style():" not in path.read_text("utf8")] == []
