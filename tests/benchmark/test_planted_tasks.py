"""Planted tasks use the same runner and records as others; metrics that do not apply to a task are absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.metrics.registry import list_metrics
from coterie.benchmark.protocol.scoring import score
from coterie.benchmark.protocol.settings import Settings
from coterie.benchmark.protocol.suites import SUITES
from coterie.benchmark.runner.grid import Grid
from coterie.leaderboard import compile_board
from coterie.methods import Coalitions, get_method
from coterie.tasks.kinds import plan_task
from coterie.tasks.planted.task import PlantedSpec, PlantedTask
from coterie.tasks.registry import get_task_spec, list_tasks
from coterie.tracking.store import RecordStore
from tests.benchmark.grids import run_grid

SETTINGS = Settings(largest_share=1, pairs=2, leave_one_outs=2, control_pairs=20, resamples=200)
PLANTED = [name for name in list_tasks() if name.startswith("planted/")]


def load(name: str) -> PlantedTask:
    spec = get_task_spec(name)
    assert isinstance(spec, PlantedSpec)
    task = plan_task(spec).load()
    assert isinstance(task, PlantedTask)
    return task


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_task_loads_and_scores_its_truth_as_1(name: str) -> None:
    task = load(name)
    measures = {m.metric: m for m in score(Bench(task, SETTINGS), Coalitions(task.discovery.n_players, task.truth), 0)}
    assert set(measures) == {m for m, kind in list_metrics().items() if kind.needs <= {"truth", "curvature"}}
    assert "ndcg_drop" not in measures
    assert measures["recovery_omega"].method_value == pytest.approx(1)
    assert abs(measures["recovery_omega"].control_value or 0) < 0.1
    if name != "planted/overlap":  # AMI considers only a player's first group
        assert measures["recovery_ami"].method_value == pytest.approx(1)
    if name not in ("planted/backup", "planted/needed"):  # their pairs have no synergy, or negative synergy
        assert (measures["synergy_pair"].value or 0) > 0


def test_a_task_without_texts_has_no_signals() -> None:
    bench = Bench(load("planted/coactive"), SETTINGS)
    with pytest.raises(TypeError, match="got a planted one"):
        _ = bench.signals


def test_recovery_is_absent_without_planted_groups(bench: Bench) -> None:
    measures = score(bench, Coalitions.of(bench.n_players, [(0, 1), (2, 3)]), 0)
    assert {m.metric for m in measures} == {m for m, kind in list_metrics().items() if "truth" not in kind.needs}


def test_planted_cells_become_records_that_the_leaderboard_ranks(tmp_path: Path) -> None:
    grid = Grid(
        tasks=[plan_task(get_task_spec("planted/coactive"))],
        methods=[get_method("random"), get_method("hedonic-oca[k=3]"), get_method("leiden[affinity=pas-lens]")],
        seeds=range(2),
        budgets=[100],
        settings=SETTINGS,
        executor="inline",
    )
    store = RecordStore(tmp_path)
    records = [record for record, _reused in run_grid(grid, store)]
    assert [record.status for record in records] == ["ok"] * 4 + ["skipped"] * 2
    omega = [m.value for r in records[:4] for m in r.scores if m.metric == "recovery_omega"]
    assert omega[2:] == [pytest.approx(1, abs=0.1)] * 2
    assert max(value for value in omega[:2] if value is not None) < 0.5
    assert all(reused for _record, reused in run_grid(grid, store))
    assert "recovery_omega" in compile_board(records).model_dump_json()


def test_the_suite_planted_has_all_planted_tasks_and_known_methods() -> None:
    suite = SUITES["planted"]
    assert set(suite.tasks) == set(PLANTED)
    for selector in suite.methods:
        get_method(selector)
