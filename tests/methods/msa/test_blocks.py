"""Games of blocks, and large games that are solved through them."""

from __future__ import annotations

import numpy as np
import torch

from coterie.methods.msa import (
    Evidence,
    evaluate_all,
    permutation_sampling,
)
from coterie.methods.msa.blocks import BlockGame, block_values, settle_top
from coterie.tasks.synthetic import SyntheticGame
from tests.methods.msa.games import kept_in


def test_blocks_are_players_that_come_and_go_together() -> None:
    game = SyntheticGame(n_players=6)
    blocks = np.array([0, 1, 0, 2, 1, 2])
    found = BlockGame(game, blocks).ablate(torch.tensor([[True, False, True]]))
    torch.testing.assert_close(found, game._ablate(game.masks([[0, 2, 3, 5]])))
    assert game.meter.total == 1


def test_splitting_blocks_keeps_the_evidence() -> None:
    game = SyntheticGame(n_players=6)
    coarse = Evidence(BlockGame(game, np.array([0, 0, 0, 1, 1, 1])))
    evaluate_all(coarse)
    fine_game = BlockGame(game, np.array([0, 0, 2, 1, 1, 1]))
    fine = coarse.split(fine_game, np.array([0, 1, 0]))
    assert len(fine) == 4
    fine.evaluate(kept_in(3))
    assert game.meter.total == 8
    expected = fine_game._ablate(torch.from_numpy(~fine.kept(slice(None))))
    np.testing.assert_allclose(fine.values(slice(None)), expected, atol=1e-6)  # float32, in batches of other sizes


def test_large_games_are_solved_through_blocks_and_their_top_is_settled() -> None:
    out = 0.02 * torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    hubs = [3, 77, 150, 222, 399]
    out[hubs] += torch.tensor([[0.5], [0.4], [0.3], [0.25], [0.2]])
    game = SyntheticGame(n_players=400, n_outputs=6, d_model=6, write_vectors=out)
    found = block_values(game, 500, np.random.default_rng(0))
    assert game.meter.total == found.evaluations <= 500
    evidence = Evidence(game, 3000)
    np.testing.assert_allclose(found.modes.sum(axis=0), evidence.total, atol=1e-6)
    best = np.argsort(-found.magnitudes)[:20]
    assert set(hubs) & set(best.tolist()) >= set(hubs[:3])
    top = settle_top(evidence, best, 2, np.random.default_rng(0))
    truth = permutation_sampling(Evidence(game), np.random.default_rng(5), most=20).modes.mean(axis=1)
    assert top.settled
    assert set(top.certain) == set(np.argsort(-np.abs(truth))[:2].tolist())
    inside = [
        low - 0.02 <= truth[i] <= high + 0.02 for i, low, high in zip(top.candidates, top.low, top.high, strict=True)
    ]
    assert all(inside)
    assert top.evaluations + 2 == len(evidence) <= 3000
