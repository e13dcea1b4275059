"""Means over tasks against means by hand."""

from __future__ import annotations

import numpy as np
import pytest

from coterie.leaderboard import compile_board
from coterie.leaderboard.board.summary import base_name, entry_mean, head_to_head, mean_over_tasks
from tests.records import METRICS, MadeUpMethod, make_record

DROP = METRICS[1]
KEY = f"{DROP.name}/{DROP.domain}"
GOOD, BAD = MadeUpMethod("good", effect=2.0), MadeUpMethod("bad")
TASKS = ("a/x[layer=0]", "a/x[layer=1]", "b/x[layer=0]", "c/x")


def test_layers_of_a_task_are_averaged_first() -> None:
    found = mean_over_tasks([("a/x[layer=0]", 1.0), ("a/x[layer=1]", 3.0), ("b/x", 5.0)])
    assert found is not None
    assert (found.value, found.tasks, found.tables) == (3.5, 2, 3)
    assert found.low is None  # two tasks are too few
    assert mean_over_tasks([]) is None
    assert base_name("a/x[layer=0,queries=40]") == "a/x"


def test_means_and_wins_match_the_tables() -> None:
    board = compile_board([make_record(m, task=t, metrics=[DROP]) for t in TASKS for m in (GOOD, BAD)])
    rows = {t.task_name: {r.entry: r for r in t.metrics[0].rows} for t in board.tasks}
    expected = np.mean(
        [(rows[TASKS[0]]["good"].value + rows[TASKS[1]]["good"].value) / 2, *(rows[t]["good"].value for t in TASKS[2:])]
    )
    mean = entry_mean(board, KEY, "good")
    assert mean is not None
    assert mean.value == pytest.approx(expected)
    assert mean.low is not None
    assert mean.low <= mean.value <= (mean.high or 0)
    only = entry_mean(board, KEY, "good", select=lambda task: task.task_name == "c/x")
    assert only is not None
    assert only.value == pytest.approx(rows["c/x"]["good"].value)
    forth, back = head_to_head(board, KEY, "good", "bad"), head_to_head(board, KEY, "bad", "good")
    assert (forth.wins, forth.losses, forth.ties) == (4, 0, 0)
    assert (back.wins, back.losses, back.ties) == (0, 4, 0)
    assert forth.difference is not None
    assert back.difference is not None
    assert forth.difference.value == pytest.approx(-back.difference.value)
    nothing = head_to_head(board, "other/heldout", "good", "bad")
    assert (nothing.wins, nothing.difference) == (0, None)
