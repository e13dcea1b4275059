"""The planted reranker behaves as its weights were designed to."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.planted.game import Layout, Planting
from coterie.tasks.planted.reranker import planted_pairs, planted_reranker
from coterie.tasks.reranker_game import RerankerGame

PLANTING = Planting(sizes=(3, 4, 3), additive=3, dead=2)


@pytest.fixture(scope="module")
def game() -> RerankerGame:
    state = torch.get_rng_state()
    reranker = planted_reranker(PLANTING)
    assert torch.equal(torch.get_rng_state(), state)
    return RerankerGame(reranker, planted_pairs(12, 5, split=0), SiteSpec(0))


def inside(layout: Layout) -> np.ndarray:
    same = np.zeros((layout.n_players, layout.n_players), dtype=bool)
    for group in layout.truth:
        same[np.ix_(group, group)] = True
    np.fill_diagonal(same, False)
    return same


def test_synergy_exists_only_inside_the_groups(game: RerankerGame) -> None:
    layout = Layout.of(PLANTING)
    n = layout.n_players
    pairs = list(combinations(range(n), 2))
    outputs = game.ablate(game.masks([(), *((i,) for i in range(n)), *pairs])).double().numpy()
    effects = (outputs[0] - outputs[1:]).mean(1)
    single, joint = effects[:n], effects[n:]
    psi = np.array([value - single[i] - single[j] for (i, j), value in zip(pairs, joint, strict=True)])
    same = np.array([inside(layout)[pair] for pair in pairs])
    assert psi[same].min() > 0.05
    assert psi[same].max() / psi[same].min() < 1.2
    assert np.abs(psi[~same]).max() < 0.02 * psi[same].min()
    assert np.abs(single[list(layout.dead)]).max() < 1e-5
    within = max(np.ptp(single[list(group)]) for group in layout.truth)
    across = np.ptp([single[list(group)].mean() for group in layout.truth])
    assert within > across  # single effects do not tell groups apart


def test_members_fire_together_and_write_apart(game: RerankerGame) -> None:
    layout = Layout.of(PLANTING)
    live = [i for i in range(layout.n_players) if i not in layout.dead]
    rho = np.corrcoef(game.activations("last").numpy()[:, live].T)
    same = inside(layout)[np.ix_(live, live)]
    assert rho[same].min() > 0.99
    assert np.abs(rho[~(same | np.eye(len(live), dtype=bool))]).max() < 0.6
    writes = torch.nn.functional.normalize(game.write_vectors(), dim=1)
    cosine = (writes @ writes.T).numpy()
    assert np.abs(cosine[inside(layout)]).max() < 0.1
    assert not game.activations()[:, list(layout.dead)].any()


def test_scores_vary_and_unsupported_plantings_are_refused(game: RerankerGame) -> None:
    assert game.scores.std() > 0.05
    with pytest.raises(
        ValueError, match=r"expected only sizes, additive, dead and seed for a planted reranker, got .*'copies': 2"
    ):
        planted_reranker(Planting(copies=2))
