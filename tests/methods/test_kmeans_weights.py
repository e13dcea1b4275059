from __future__ import annotations

import numpy as np
import pytest
import torch

from coterie.methods.kmeans_weights import KMeansWeights
from coterie.tasks.synthetic import SyntheticGame


def game_with(writes: np.ndarray) -> SyntheticGame:
    return SyntheticGame(len(writes), d_model=writes.shape[1], write_vectors=torch.from_numpy(writes).float())


def test_bundles_of_directions_are_found_whatever_the_lengths_tightest_first() -> None:
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(10, 10)))[0][:3]
    noise = np.repeat([0.01, 0.1, 0.05], 8)[:, None] * rng.normal(size=(24, 10))
    writes = (np.repeat(centres, 8, axis=0) + noise) * rng.uniform(0.1, 50, (24, 1))
    found = KMeansWeights(n_clusters=3).discover(game_with(writes), 0, rng)
    assert found.groups == (tuple(range(8)), tuple(range(16, 24)), tuple(range(8, 16)))


def test_dead_units_are_left_out_and_counted() -> None:
    writes = np.random.default_rng(0).normal(size=(30, 6))
    writes[[0, 7, 29]] = 0
    found = KMeansWeights().discover(game_with(writes), 0, np.random.default_rng(0))
    assert sorted(i for group in found.groups for i in group) == [i for i in range(30) if i not in (0, 7, 29)]
    assert found.notes["dead_units"] == 3
    with pytest.raises(ValueError, match="expected at least one that is not zero, got none; fix"):
        KMeansWeights().discover(game_with(np.zeros((4, 3))), 0, np.random.default_rng(0))


def test_fewer_directions_than_clusters_yield_fewer_clusters() -> None:
    writes = np.repeat(np.eye(2, 5), 6, axis=0)
    found = KMeansWeights(n_clusters=4).discover(game_with(writes), 0, np.random.default_rng(0))
    assert set(found.groups) == {tuple(range(6)), tuple(range(6, 12))}


def test_singletons_come_last_and_the_mean_size_is_about_eleven() -> None:
    writes = np.vstack([np.random.default_rng(0).normal(size=(110, 4)), 100 * np.eye(1, 4)])
    found = KMeansWeights().discover(game_with(writes), 0, np.random.default_rng(0))
    assert len(found.groups) == 10
    alone = KMeansWeights(n_clusters=60).discover(game_with(writes), 0, np.random.default_rng(0)).sizes
    assert 1 in alone
    assert all(size == 1 for size in alone[alone.index(1) :])
