"""Quality against budget: which rows form a curve, and how curves are drawn."""

from __future__ import annotations

import re
from dataclasses import replace

from coterie.leaderboard import compile_board, render_html
from coterie.leaderboard.board.budgets import budget_curves
from coterie.leaderboard.display.budget_plot import draw_budgets
from tests.records import METRICS, MadeUpMethod, make_record

DROP = METRICS[1]
CHEAP = MadeUpMethod("tuned", evaluations={"ablations": 90}, budget=100)
DEAR = replace(CHEAP, evaluations={"ablations": 950}, budget=1000, effect=1.0)
FIXED = MadeUpMethod("fixed")


def test_methods_with_two_budgets_have_a_curve_ordered_by_budget() -> None:
    board = compile_board([make_record(m, metrics=[DROP]) for m in (DEAR, CHEAP, FIXED)])
    (task,) = board.tasks
    curves = budget_curves(board, task.metrics[0])
    assert list(curves) == ["tuned"]
    assert [(p.budget, p.evaluations) for p in curves["tuned"]] == [(100, 90), (1000, 950)]
    rows = {board.entry(row.entry).budget: row for row in task.metrics[0].rows if row.entry != "fixed"}
    assert [(p.value, p.low) for p in curves["tuned"]] == [(rows[b].value, rows[b].low) for b in (100, 1000)]
    svg = draw_budgets(board, task)
    assert svg is not None
    assert "evaluations spent" in svg or re.search(r"<use|<path", svg)
    assert svg == draw_budgets(board, task)
    page = render_html(board)
    assert "Quality against budget" in page
    assert "data:image/svg+xml;base64," in page


def test_without_two_budgets_there_is_no_curve() -> None:
    board = compile_board([make_record(FIXED, metrics=[DROP])])
    assert draw_budgets(board, board.tasks[0]) is None
    assert "Quality against budget" not in render_html(board)
