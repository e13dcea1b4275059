"""How often the ranking separates methods: copies of one method, simulated and real, and different ones."""

from __future__ import annotations

import numpy as np
import pytest

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.metrics.base import Answer
from coterie.benchmark.protocol.metrics.registry import list_metrics
from coterie.benchmark.protocol.settings import Settings
from coterie.leaderboard.statistics.bootstrap import bootstrap_weights
from coterie.methods import get_method
from coterie.tasks.kinds import plan_task
from coterie.tasks.registry import get_task_spec
from docs.tables.ranking_power import any_separated, paired_difference, separated

BOARDS = 200


def test_two_copies_of_one_method_are_separated_on_at_most_5_per_cent_of_simulated_boards() -> None:
    """Whether seeds hardly differ, differ about as much as queries, or account for nearly all variance."""
    shares = [separated(n_seeds, sd, 0.0, BOARDS) for n_seeds, sd in ((2, 0.3), (3, 0.05), (3, 0.3), (3, 2.0))]
    assert np.mean(shares) <= 0.05
    assert max(shares) <= 0.05 + 2 * (0.05 * 0.95 / BOARDS) ** 0.5  # two standard errors of 200 boards


def test_more_seeds_find_a_real_difference_more_often() -> None:
    power = [separated(n_seeds, 0.3, 0.6, 60) for n_seeds in (2, 3, 5)]
    assert power == sorted(power)
    assert power[-1] > 0.6


@pytest.mark.parametrize("n_queries", [10, 20])
def test_boards_of_few_queries_rarely_separate_equal_methods(n_queries: int) -> None:
    assert any_separated(n_queries, 200) <= 0.1  # 5 %, and three standard errors of 200 boards


def test_two_copies_of_random_are_separated_on_at_most_5_per_cent_of_200_boards() -> None:
    """The method `random` on a planted game, with 60 seeds. Each board draws two sets of three seeds."""
    task = plan_task(get_task_spec("planted/decoys")).load()
    settings = Settings(largest_share=1, max_coalitions=4, pairs=2, leave_one_outs=1, control_pairs=20, optimism=False)
    bench, method = Bench(task, settings), get_method("random[min_size=3,max_size=5]")
    names = ("synergy_pair", "synergy_joint")
    values: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for seed in range(60):
        found = method.discover(task.discovery.restricted_to(method.sees, 100), 100, np.random.default_rng(seed))
        answer = Answer(found, [bench.draw(group, seed) for group in bench.eligible(found)])
        for name in names:
            [part] = list_metrics()[name]().measure(bench, answer)
            values[name].append(part.numerator - part.control)
    n_queries = len(values[names[0]][0])
    weights, ones, rng = bootstrap_weights(n_queries, 999), np.ones((3, n_queries)), np.random.default_rng(0)
    for name in names:
        rows, count = np.stack(values[name]), 0
        assert rows.std() > 0
        for _ in range(BOARDS):
            drawn = rows[rng.permutation(60)[:6]]
            p = paired_difference((drawn[:3], ones), (drawn[3:], ones), weights).p
            count += p is not None and p < 0.05
        assert count / BOARDS <= 0.05, name
