"""msa-modes and msa-top from end to end: planted structure is found within the budget, and the notes describe the estimate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coterie.methods import get_method
from coterie.methods.coalitions import Coalitions
from coterie.methods.msa_modes import MsaModes
from coterie.methods.msa_top import MsaTop
from coterie.tasks.synthetic import SyntheticGame

BLOCKS = [tuple(range(start, start + 5)) for start in (0, 5, 10)]


def block_game(dead: int = 0) -> SyntheticGame:
    """Three blocks of five units: each block is active on separate outputs, and the units of a block differ in strength."""
    rng = np.random.default_rng(0)
    active = np.repeat(np.kron(np.eye(3), np.ones((8, 1))), 5, axis=1) * rng.uniform(0.5, 1.5, (24, 15))
    activations = torch.from_numpy(np.hstack([active, np.zeros((24, dead))])).float()
    strength = torch.tensor([3.0, 1.0, 2.0]).repeat_interleave(5)
    writes = torch.cat([0.06 * strength, torch.ones(dead)])[:, None] * torch.ones(15 + dead, 4)
    return SyntheticGame(15 + dead, 24, 4, activations=activations, write_vectors=writes)


def discover(method: MsaModes | MsaTop, game: SyntheticGame, budget: int = 90) -> Coalitions:
    return method.discover(game.restricted_to(method.sees, budget), budget, np.random.default_rng(0))


def test_players_with_the_same_outputs_form_clusters_strongest_first() -> None:
    found = discover(MsaModes(n_clusters=3), block_game(dead=2))
    assert found.groups == (BLOCKS[0], BLOCKS[2], BLOCKS[1])
    assert found.notes["left_out"] == 2


def test_correlation_ignores_a_shift_of_all_outputs_and_cosine_does_not() -> None:
    pattern = np.repeat(np.eye(2), 4, axis=0)  # [outputs, 2]: two kinds of players
    shift = np.array([0.0, 3.0] * 3)
    effects = torch.from_numpy(np.repeat(pattern, 3, axis=1) + shift).float()
    game = SyntheticGame(6, 8)
    game._ablate = lambda masks: (effects * ~masks[:, None, :]).sum(-1)  # type: ignore[method-assign]
    assert set(discover(MsaModes(n_clusters=2), game, 40).groups) == {(0, 1, 2), (3, 4, 5)}
    assert (1, 3, 5) in discover(MsaModes(n_clusters=3, similarity="cosine"), game, 40).groups


def test_notes_describe_the_estimate() -> None:
    notes = discover(MsaModes(n_clusters=3), block_game()).notes
    assert notes["estimator"] == "kriging"
    assert 80 <= notes["evaluations"] <= 90
    assert 0 <= notes["relative_standard_error_median"] <= notes["relative_standard_error_max"] < 0.5
    assert notes["efficiency_gap"] < 1e-6
    assert notes["additive"] is False
    additive = block_game()
    additive._ablate = lambda masks: (additive._hidden * ~masks[:, None, :]).sum(-1)  # type: ignore[method-assign]
    assert discover(MsaModes(n_clusters=3), additive).notes["additive"] is True


def test_top_groups_players_by_magnitude_in_the_requested_size() -> None:
    game = block_game(dead=2)
    found = discover(MsaTop(size=4), game)
    assert found.sizes == [4, 4, 4]
    assert set(found.groups[0]) < set(BLOCKS[0])
    assert not {15, 16} & {i for group in found.groups for i in group}
    assert discover(MsaTop(size=4, n_coalitions=1), game).groups == found.groups[:1]
    assert discover(MsaTop(size=99), game).groups == (tuple(range(15)),)


def test_by_mean_uses_only_the_mean_output() -> None:
    activations = torch.zeros(4, 3)
    activations[:, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0])  # a large mode whose mean is zero
    activations[:, 1] = 0.3
    activations[:, 2] = 0.1
    game = SyntheticGame(3, 4, 2, activations=activations, write_vectors=torch.full((3, 2), 0.5))
    assert discover(MsaTop(size=1), game, 8).groups == ((0,), (1,), (2,))
    assert discover(MsaTop(size=1, by="mean"), game, 8).groups[0] == (1,)


@pytest.mark.parametrize("method", [MsaModes(), MsaTop()])
def test_a_game_in_which_nothing_changes_is_refused(method: MsaModes | MsaTop) -> None:
    game = SyntheticGame(write_vectors=torch.zeros(24, 6))
    with pytest.raises(ValueError, match="got none among 24; fix"):
        discover(method, game)


@pytest.mark.parametrize("selector", ["msa-top[estimator=blocks,size=2]", "msa-modes[estimator=blocks,n_clusters=8]"])
def test_large_games_are_solved_with_fewer_evaluations_than_players(selector: str) -> None:
    out = 0.02 * torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    hubs = {3, 77}
    out[list(hubs)] += 0.5
    game = SyntheticGame(n_players=400, n_outputs=6, d_model=6, write_vectors=out)
    method, budget = get_method(selector), 390
    handed = game.restricted_to(method.sees, budget)
    found = method.discover(handed, budget, np.random.default_rng(0))
    assert handed.meter.total <= budget
    assert found == method.discover(game.restricted_to(method.sees, budget), budget, np.random.default_rng(0))
    if method.name == "msa-top":
        assert hubs & set(found.groups[0])
        assert found.notes["certain_of_the_top"] <= 2
