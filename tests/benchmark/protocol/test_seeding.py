"""A seed draws independently in every task, for methods and for the judge, and reproducibly within a task."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from coterie.benchmark import run
from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.metrics.ridge import random_sets
from coterie.benchmark.protocol.scoring import score
from coterie.benchmark.protocol.seeding import generator
from coterie.benchmark.protocol.settings import Settings
from coterie.methods import Coalitions
from coterie.tasks.planted.task import PlantedPlan, PlantedSpec
from coterie.tasks.registry import get_task_spec

TASKS = ("planted/silent", "planted/needed", "planted/grouped-writes")  # with equally many players


def bench(name: str, seed: int = 0) -> Bench:
    spec = get_task_spec(name)
    assert isinstance(spec, PlantedSpec)
    return Bench(PlantedPlan(spec).load(), Settings(seed=seed))


def test_tasks_seeds_and_uses_are_uncorrelated() -> None:
    keys = [(task, seed, use) for task in ("1" * 64, "2" * 64) for seed in (0, 1) for use in (0, 1)]
    draws = np.array([generator(task, seed, use).random(10_000) for task, seed, use in keys])
    assert np.abs(np.corrcoef(draws) - np.eye(len(keys))).max() < 0.06  # six standard errors
    np.testing.assert_array_equal(draws[0], generator("1" * 64, 0, 0).random(10_000))


@pytest.mark.parametrize(
    "drawn",
    [
        lambda b: [order.tolist() for order in b.orders],
        lambda b: b.control_pairs,
        lambda b: b.draw(tuple(range(12)), 0),
        lambda b: random_sets(b, [3, 3], 0),
    ],
    ids=["controls", "random pairs", "pairs and leave-one-outs of a set", "random sets of a fit"],
)
def test_the_judges_draws_differ_by_task_and_seed(drawn: Callable[[Bench], object]) -> None:
    found = [drawn(bench(name)) for name in TASKS] + [drawn(bench(TASKS[0], seed=1))]
    assert all(a != b for a, b in combinations(found, 2))
    assert drawn(bench(TASKS[0])) == found[0]


def test_only_the_samples_of_a_coalition_differ_by_seed() -> None:
    """Intervals and ranks thus reflect the sampling even if a method proposes the same coalitions for every seed."""
    judge = bench(TASKS[0])
    coalitions = Coalitions.of(judge.n_players, [tuple(range(12)), tuple(range(12, 20))])
    settings = {"largest_share": 1.0, "max_coalitions": 2}
    judge = Bench(judge.task, judge.settings.model_copy(update=settings))
    one, two, again = ({m.metric: m.method_value for m in score(judge, coalitions, seed)} for seed in (0, 1, 0))
    assert one == again
    assert {name for name in one if one[name] != two[name]} >= {"synergy_pair", "synergy_excess"}
    assert {name for name in one if one[name] != two[name]} <= {
        f"synergy_{kind}{margin}" for kind in ("pair", "excess", "ratio") for margin in ("", "_margin")
    }


def test_a_seed_proposes_different_coalitions_in_every_task(tmp_path: Path) -> None:
    records = run(tmp_path / "a", tasks=TASKS, methods=["random"], seeds=2, executor="inline")
    proposed = [str(r.coalitions) for r in records]
    assert len(set(proposed)) == len(proposed) == 2 * len(TASKS)
    again = run(tmp_path / "b", tasks=TASKS[1:], methods=["random"], seeds=2, executor="inline")
    assert [str(r.coalitions) for r in again] == proposed[2:]
