"""The grid: reuse, failures that stay in their cell, budgets, and what a method has access to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coterie.benchmark.protocol.settings import Settings
from coterie.benchmark.runner import worker
from coterie.benchmark.runner.grid import Grid
from coterie.benchmark.runner.messages import Listener
from coterie.methods.registry import get_method, include
from coterie.tasks.game import Capability
from coterie.tasks.reranker_task import RerankerTask, RerankerTaskPlan
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore
from tests.benchmark.grids import run_grid

FAULTY = Path(__file__).parent / "faulty.py"


class ReuseListener(Listener):
    def __init__(self) -> None:
        self.reused: list[bool] = []

    def finished(self, record: Record, reused: bool) -> None:
        self.reused.append(reused)


@pytest.fixture(scope="module", autouse=True)
def faulty() -> None:
    include(FAULTY)


@pytest.fixture
def grid(task: RerankerTask, settings: Settings) -> Grid:
    methods = [get_method("random"), get_method("kmeans-weights")]
    return Grid([task.plan], methods, range(2), [10], settings, executor="inline")


@pytest.fixture(autouse=True)
def loaded_once(task: RerankerTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "plan_task", lambda _spec: task.plan)
    monkeypatch.setattr(RerankerTaskPlan, "load", lambda *_: task)


def run(grid: Grid, folder: Path) -> tuple[list[Record], list[bool]]:
    listener = ReuseListener()
    return [record for record, _ in run_grid(grid, RecordStore(folder), listener)], listener.reused


def test_every_cell_becomes_a_stored_record(grid: Grid, tmp_path: Path) -> None:
    records, _ = run(grid, tmp_path)
    assert [(r.method_name, r.seed, r.status) for r in records] == [
        (m, s, "ok") for m in ("random", "kmeans-weights") for s in (0, 1)
    ]
    assert RecordStore(tmp_path).all() == sorted(records, key=lambda r: RecordStore(tmp_path).path_for(r))
    record = records[0]
    assert record.cost is not None
    assert record.cost.peak_memory_bytes > 2**20
    assert record.environment.packages["torch"]
    assert record.task.queries == {"discovery": 4, "heldout": 12, "pandas": 10, "mlflow": 10}


def test_finished_cells_are_reused_without_loading(grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = run(grid, tmp_path)
    monkeypatch.setattr(
        RerankerTaskPlan, "load", lambda *_: pytest.fail("loaded a task although all cells are finished")
    )
    again, reused = run(grid, tmp_path)
    assert again == first
    assert reused == [True] * 4


def test_the_same_seed_gives_the_same_result(grid: Grid, tmp_path: Path) -> None:
    one, two = (run(grid, tmp_path / name)[0] for name in "ab")
    assert [r.scores for r in one] == [r.scores for r in two]
    assert [r.identity_digest for r in one] == [r.identity_digest for r in two]


@pytest.mark.parametrize(
    "change", [{"budgets": [11]}, {"settings": Settings(max_coalitions=2, largest_share=0.5, resamples=200)}]
)
def test_a_different_budget_or_protocol_setting_is_a_different_cell(
    grid: Grid, tmp_path: Path, change: dict[str, Any]
) -> None:
    run(grid, tmp_path)
    _, reused = run(replace(grid, **change), tmp_path)
    assert reused == [False] * 4


def test_overwrite_strategies_select_the_cells_that_run(grid: Grid, tmp_path: Path) -> None:
    run(replace(grid, seeds=range(1)), tmp_path)
    assert run(replace(grid, overwrite="never"), tmp_path)[1] == [True, True]
    assert run(replace(grid, overwrite="always", seeds=range(1)), tmp_path)[1] == [False, False]


def test_a_method_that_raises_fails_its_cell_and_the_others_go_on(grid: Grid, tmp_path: Path) -> None:
    mixed = replace(grid, methods=[get_method("raises"), get_method("random")], seeds=range(1))
    records, _ = run(mixed, tmp_path)
    assert [r.status for r in records] == ["failed", "ok"]
    assert records[0].reason == "RuntimeError: it broke on purpose"
    assert "faulty.py" in str(records[0].trace)
    assert records[0].failure is not None
    assert records[0].failure.phase == "proposing coalitions"
    assert run(mixed, tmp_path)[1] == [True, True]
    assert run(replace(mixed, retry_failed=True), tmp_path)[1] == [True, False]  # reused ones come first


def test_fail_fast_stops_at_the_first_failure(grid: Grid, tmp_path: Path) -> None:
    records, _ = run(replace(grid, methods=[get_method("raises"), get_method("random")], fail_fast=True), tmp_path)
    assert [r.status for r in records] == ["failed"]


def test_a_method_cannot_exceed_its_budget_by_one_evaluation(grid: Grid, tmp_path: Path) -> None:
    records, _ = run(replace(grid, methods=[get_method("greedy")], seeds=range(1)), tmp_path)
    assert records[0].status == "failed"
    assert "budget: 10 evaluations, 10 used, 1 more" in str(records[0].reason)


def test_a_method_cannot_reach_the_judges_queries(task: RerankerTask) -> None:
    """Nothing reachable from the game that a method receives is a game or text of another split."""
    received = task.discovery.restricted_to(frozenset(Capability), 10)
    forbidden = {id(game) for game in task.domains.values()}
    texts = {p.query for game in task.domains.values() for p in game.pairs} - {p.query for p in task.discovery.pairs}
    for thing in reachable(received):
        assert id(thing) not in forbidden
        assert not (isinstance(thing, str) and thing in texts)


def reachable(root: object) -> Iterator[object]:
    """Everything that can be reached through attributes and containers."""
    seen, stack = set(), [root]
    while stack:
        thing = stack.pop()
        if id(thing) in seen or isinstance(thing, type):
            continue
        seen.add(id(thing))
        yield thing
        stack.extend(getattr(thing, "__dict__", {}).values())
        if isinstance(thing, dict):
            stack.extend(thing.values())
        elif isinstance(thing, list | tuple | set | frozenset):
            stack.extend(thing)


def test_splits_share_no_query(task: RerankerTask) -> None:
    games = {"discovery": task.discovery, **task.domains}
    ids = [q for game in games.values() for q in game.query_ids]
    assert len(ids) == len(set(ids)) == 36
