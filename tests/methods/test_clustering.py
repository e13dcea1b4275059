"""The clustering baselines on handmade affinities: what they find, in which order, and the effect of negative weights."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from coterie.methods import Coalitions, get_method
from coterie.methods.affinity import AFFINITIES, Affinity
from coterie.methods.clustering import as_distance, by_affinity, cluster_count, groups_of
from coterie.methods.graph import nearest_graph
from coterie.tasks.synthetic import SyntheticGame

BLOCKS = (range(4), range(4, 9), range(9, 12))
STRENGTHS = (0.5, 0.9, 0.7)
BASELINES = ["hierarchical[n_clusters=3]", "spectral[n_clusters=3]", "hdbscan", "leiden", "louvain"]


def blocks(between: float = 0.0, n: int = 12) -> np.ndarray:
    """Three blocks of 4, 5 and 3 players, with a little noise so that nothing ties."""
    noise = np.random.default_rng(0).normal(0, 0.01, (n, n))
    phi = between + (noise + noise.T)
    for block, strength in zip(BLOCKS, STRENGTHS, strict=True):
        phi[np.ix_(block, block)] += strength - between
    np.fill_diagonal(phi, 0)
    return phi.astype(np.float32)


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a method on a given matrix, under the name of an affinity."""

    def run(selector: str, phi: np.ndarray, seed: int = 0) -> Coalitions:
        given = Affinity("oca", frozenset(), "made up", lambda _game, _budget: (phi, {}))
        monkeypatch.setitem(AFFINITIES, "oca", given)
        return get_method(selector).discover(SyntheticGame(len(phi)), 0, np.random.default_rng(seed))

    return run


@pytest.mark.parametrize("selector", BASELINES)
@pytest.mark.parametrize("between", [0.0, 0.1, -0.3])
def test_blocks_are_found_strongest_first(selector: str, between: float, on: Any) -> None:
    found = on(selector, blocks(between))
    assert found.groups == tuple(tuple(BLOCKS[i]) for i in (1, 2, 0))


@pytest.mark.parametrize("selector", BASELINES)
def test_players_without_affinities_are_left_out_or_alone(selector: str, on: Any) -> None:
    phi = np.zeros((14, 14), dtype=np.float32)
    phi[:12, :12] = blocks()
    groups = on(selector, phi).groups
    assert groups[:3] == tuple(tuple(BLOCKS[i]) for i in (1, 2, 0))
    assert set(groups[3:]) <= {(12,), (13,)}


@pytest.mark.parametrize("selector", BASELINES)
def test_all_zero_affinities_are_refused(selector: str, on: Any) -> None:
    with pytest.raises(
        ValueError, match=r"affinity 'oca': expected a pair of players .* got none among 6 players; fix"
    ):
        on(selector, np.zeros((6, 6), dtype=np.float32))


def camps() -> np.ndarray:
    """Two camps of friends with weak ties across, and strong enmity across."""
    phi = np.full((8, 8), -0.8, dtype=np.float32)
    for camp in (range(4), range(4, 8)):
        phi[np.ix_(camp, camp)] = 0.2
    phi[0, 4] = phi[4, 0] = 0.9  # one friendship across: without enemies it binds more than anything
    np.fill_diagonal(phi, 0)
    return phi


@pytest.mark.parametrize("selector", ["leiden[negative={}]", "spectral[n_clusters=2,negative={}]"])
def test_only_signed_methods_use_negative_affinities(selector: str, on: Any) -> None:
    camps_found = {tuple(range(4)), tuple(range(4, 8))}
    assert set(on(selector.format("signed"), camps()).groups) == camps_found
    if selector.startswith("leiden"):
        assert set(on(selector.format("drop"), camps()).groups) != camps_found


@pytest.mark.parametrize("method", ["leiden", "louvain"])
def test_resolution_makes_communities_smaller(method: str, on: Any) -> None:
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 1, (60, 60)).astype(np.float32)
    phi = np.triu(noise, 1) + np.triu(noise, 1).T
    sizes = [max(on(f"{method}[resolution={gamma}]", phi).sizes) for gamma in (0.3, 1, 3)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_louvain_leaves_the_global_random_state_alone(on: Any) -> None:
    random.seed(1)
    before = random.getstate()
    on("louvain", blocks())
    assert random.getstate() == before


def test_the_graph_connects_each_player_with_its_nearest_friends() -> None:
    phi = np.array([[0, 3, 2, 1], [3, 0, -1, 0], [2, -1, 0, 5], [1, 0, 5, 0]], dtype=np.float32)
    graph = nearest_graph(phi, 1)
    assert dict(zip(graph.get_edgelist(), graph.es["weight"], strict=True)) == {(0, 1): 3.0, (2, 3): 5.0}
    everything = nearest_graph(phi, 10)
    assert set(everything.get_edgelist()) == {(0, 1), (0, 2), (0, 3), (2, 3)}
    assert set(nearest_graph(-phi, 10).get_edgelist()) == {(1, 2)}


def test_labels_become_groups_sorted_by_affinity() -> None:
    assert [g.tolist() for g in groups_of(np.array([1, -1, 0, 1]), np.array([5, 6, 7, 8]))] == [[7], [5, 8]]
    assert [cluster_count(*args) for args in ((110, None), (3, None), (3, 7), (30, 7))] == [10, 1, 3, 7]
    phi = np.array([[0, 1, -2], [1, 0, 3], [-2, 3, 0]], dtype=np.float32)
    assert as_distance(phi).tolist() == [[0, 2, 5], [2, 0, 0], [5, 0, 0]]
    ordered = by_affinity(phi, [np.array([0]), np.array([0, 1]), np.array([1, 2])])
    assert [g.tolist() for g in ordered] == [[1, 2], [0, 1], [0]]
