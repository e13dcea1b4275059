from __future__ import annotations

import numpy as np
import pytest

from coterie.methods.random_groups import RandomGroups
from coterie.tasks.synthetic import SyntheticGame


def test_groups_are_disjoint_and_fill_most_of_the_players() -> None:
    for seed in range(20):
        found = RandomGroups().discover(SyntheticGame(160), 0, np.random.default_rng(seed))
        members = [i for group in found.groups for i in group]
        assert len(members) == len(set(members)) >= 160 - 20
        assert set(found.sizes) <= set(range(2, 21))


def test_sizes_are_log_uniform() -> None:
    """Sizes 2 to 3, 4 to 7 and 8 to 15 are equally frequent."""
    rng = np.random.default_rng(0)
    game, method = SyntheticGame(200), RandomGroups(max_size=15, n_coalitions=5)
    sizes = np.array([size for _ in range(600) for size in method.discover(game, 0, rng).sizes])
    assert len(sizes) == 3000
    for low, high in [(2, 3), (4, 7), (8, 15)]:
        assert abs(((sizes >= low) & (sizes <= high)).sum() - 1000) < 5 * np.sqrt(3000 * 2 / 9)


def test_all_players_are_equally_likely() -> None:
    rng = np.random.default_rng(0)
    game, method = SyntheticGame(10), RandomGroups(min_size=2, max_size=2, n_coalitions=1)
    counts = np.bincount([i for _ in range(2000) for i in method.discover(game, 0, rng).groups[0]], minlength=10)
    assert np.all(np.abs(counts - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8))


def test_limits_on_sizes_and_number_of_groups() -> None:
    rng = np.random.default_rng(0)
    assert len(RandomGroups(n_coalitions=3).discover(SyntheticGame(100), 0, rng).groups) == 3
    assert RandomGroups().discover(SyntheticGame(1), 0, rng).groups == ()
    assert RandomGroups(min_size=5, max_size=5).discover(SyntheticGame(24), 0, rng).sizes == [5, 5, 5, 5]
    with pytest.raises(ValueError, match="expected max_size of at least min_size, 6, got 3; fix: max_size=6"):
        RandomGroups(min_size=6, max_size=3).discover(SyntheticGame(24), 0, rng)
