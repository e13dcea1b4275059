"""`--explain` names what differs from the nearest stored record, and runs and writes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.benchmark.commands.explain import Explanation, explain
from coterie.benchmark.protocol.settings import Settings
from coterie.benchmark.runner.grid import Grid, Run
from coterie.benchmark.runner.messages import Listener
from coterie.methods.registry import Registry
from coterie.tasks.kinds import plan_task
from coterie.tasks.registry import get_task_spec
from coterie.tracking.store import RecordStore
from tests.benchmark.grids import run_grid
from tests.methods.test_registry import PLUGIN, write

SETTINGS = Settings(max_coalitions=2, largest_share=1, pairs=2, leave_one_outs=2, control_pairs=20, resamples=200)


@pytest.fixture
def grid() -> Grid:
    from coterie.methods.registry import get_method

    tasks = [plan_task(get_task_spec("planted/coactive"))]
    return Grid(tasks, [get_method("random[n_coalitions=3]")], range(1), [10], SETTINGS, executor="inline")


def explained(grid: Grid, folder: Path) -> list[Explanation]:
    store = RecordStore(folder)
    return explain(Run(grid, store, Listener()).planned, store.all())


def test_each_difference_is_named_with_both_values(grid: Grid, tmp_path: Path) -> None:
    from coterie.methods.registry import get_method

    (record, _reused), *_ = run_grid(grid, RecordStore(tmp_path))
    changed = {
        "budget": replace(grid, budgets=[11]),
        "seed": replace(grid, seeds=[1]),
        "settings.pairs": replace(grid, settings=SETTINGS.model_copy(update={"pairs": 3})),
        "parameter n_coalitions": replace(grid, methods=[get_method("random[n_coalitions=4]")]),
    }
    for component, other in changed.items():
        (found,) = explained(other, tmp_path)
        assert found.nearest == record
        assert [name for name, _, _ in found.changes] == [component]
        assert "will be run" in found.verdict
    (found,) = explained(replace(changed["budget"], seeds=[1]), tmp_path)
    assert {(n, a, b) for n, a, b in found.changes} == {("budget", 10, 11), ("seed", 0, 1)}
    (found,) = explained(grid, tmp_path)
    assert "will be reused" in found.verdict
    (found,) = explained(replace(grid, overwrite="always"), tmp_path)
    assert "will be run again" in found.verdict
    (found,) = explained(replace(grid, methods=[get_method("kmeans-weights")], overwrite="never"), tmp_path)
    assert "will not be run" in found.verdict
    assert "no record of this method" in found.verdict


def test_a_change_of_code_changes_only_the_identity_of_that_method(grid: Grid, tmp_path: Path) -> None:
    """After an edit of an included file, only the cells of its method have another identity."""
    from coterie.methods.registry import get_method

    def mine(source: str) -> Grid:
        (method,) = Registry().include(write(tmp_path / "mine.py", source))
        return replace(grid, methods=[method(), get_method("random[n_coalitions=3]")])

    before = Run(mine(PLUGIN), RecordStore(tmp_path), Listener()).planned
    comment = Run(mine(PLUGIN + "\n# a comment\n"), RecordStore(tmp_path), Listener()).planned
    edited = Run(
        mine(PLUGIN.replace("count: int = 8", "count: int = 8\n    unused: int = 1")), RecordStore(tmp_path), Listener()
    )
    assert [c.identity for c in comment] == [c.identity for c in before]
    assert edited.planned[0].identity.code_hash != before[0].identity.code_hash
    assert edited.planned[1].identity == before[1].identity


def test_the_command_runs_and_writes_nothing(tmp_path: Path) -> None:
    arguments = ["run", "-t", "planted/coactive", "-m", "random", "--seeds", "2", "--explain"]
    result = CliRunner().invoke(app, [*arguments, "--output-folder", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert "planted/coactive: random, seed 0" in result.output
    assert "2 of 2 cells would be run" in result.output
    assert not (tmp_path / "out").exists()
