"""hedonic-oca from end to end: planted groups are found, and degenerate partitions are reported."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coterie.methods.hedonic_oca import HedonicOca
from coterie.tasks.synthetic import SyntheticGame


def planted_game(n_blocks: int, size: int, dead: int = 0) -> SyntheticGame:
    """Blocks of units that fire together and write in different directions; `dead` more units never fire."""
    rng = np.random.default_rng(0)
    signal = np.repeat(rng.normal(size=(400, n_blocks)), size, axis=1)
    activations = np.hstack([signal + 0.3 * rng.normal(size=signal.shape), np.zeros((400, dead))])
    writes = rng.normal(size=(activations.shape[1], 64))
    return SyntheticGame(
        n_players=activations.shape[1],
        n_outputs=400,
        d_model=64,
        activations=torch.from_numpy(activations).float(),
        write_vectors=torch.from_numpy(writes).float(),
    )


def discover(method: HedonicOca, game: SyntheticGame) -> tuple[set[tuple[int, ...]], dict[str, object]]:
    found = method.discover(game, 1, np.random.default_rng(0))
    return set(found.groups), dict(found.notes)


def test_planted_blocks_are_found_and_dead_units_are_alone() -> None:
    groups, notes = discover(HedonicOca(k=3, samples=300), planted_game(8, 6, dead=4))
    blocks = {tuple(range(start, start + 6)) for start in range(0, 48, 6)}
    assert groups == blocks | {(48,), (49,), (50,), (51,)}
    assert notes["singleton_share"] == pytest.approx(4 / 52)
    assert notes["largest_share"] == pytest.approx(6 / 52)
    assert notes["choice_sets_exact"] == notes["choice_sets"]
    assert notes["certificate"]["blocking"] == 0  # type: ignore[index]


def test_one_friend_makes_pairs_and_too_many_make_one_giant() -> None:
    game = planted_game(8, 6)
    pairs, _ = discover(HedonicOca(k=1, samples=300), game)
    assert {len(group) for group in pairs} == {2}
    _, notes = discover(HedonicOca(k=12, samples=300), game)
    assert notes["largest_share"] == 1


def test_small_samples_from_a_large_game_reveal_next_to_nothing() -> None:
    """With the public code's sizes, up to 10, true friends hardly ever meet, and nearly all neurons form one coalition."""
    _, notes = discover(HedonicOca(k=3, samples=300, max_size=10), planted_game(20, 6))
    assert notes["largest_share"] > 0.8  # type: ignore[operator]
    assert notes["choice_sets_exact"] < 0.5 * notes["choice_sets"]  # type: ignore[operator]


def test_the_strongest_coalitions_come_first_and_singletons_last() -> None:
    sizes = HedonicOca(k=3, samples=300).discover(planted_game(8, 6, dead=4), 1, np.random.default_rng(0)).sizes
    assert sizes == [6] * 8 + [1] * 4


def test_contradictory_sizes_are_refused_and_k_is_limited_by_the_number_of_players() -> None:
    game = planted_game(2, 3)
    with pytest.raises(ValueError, match="hedonic-oca: expected max_size >= 4, the smallest size, got 3; fix"):
        discover(HedonicOca(k=3, max_size=3), game)
    assert discover(HedonicOca(k=10**9, samples=50), game) == discover(HedonicOca(k=5, samples=50), game)
