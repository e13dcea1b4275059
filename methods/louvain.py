"""Louvain communities on an affinity matrix."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from coterie.methods.affinity import AffinityMethod, get_affinity
from coterie.methods.clustering import by_affinity, groups_of, with_affinity
from coterie.methods.coalitions import Coalitions
from coterie.methods.graph import nearest_graph

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class Louvain(AffinityMethod):
    """Louvain communities of the graph of best friends by an affinity.

    The graph connects each player with its `neighbours` best friends, the players of largest positive affinity; the
    affinity is the weight of the edge. The communities maximise the modularity, up to a constant factor,

        Q = sum of (w_ij - gamma s_i s_j / 2m) over pairs i, j in one community

    with w_ij the weight of the edge between players i and j, s_i the sum of the weights at i, m the sum of all weights,
    and gamma the `resolution`. The maximisation is greedy: players move to the best neighbouring community, then
    communities become players, and so on. Communities are ordered by mean affinity over pairs of members, singletons
    last. Negative affinities are left out; the algorithm does not support them (`leiden[negative=signed]` does).

    Reference: Blondel, Guillaume, Lambiotte, Lefebvre (2008), Fast unfolding of communities in large networks.

    Deviations from the paper: none (igraph); the graph keeps the nearest neighbours only.
    """

    name = "louvain"
    reference = "Blondel, Guillaume, Lambiotte, Lefebvre (2008), Fast unfolding of communities in large networks"

    resolution: Annotated[float, Field(gt=0, description="gamma: higher makes smaller communities")] = 1.0
    neighbours: Annotated[int, Field(ge=1, description="best friends per player in the graph")] = 15

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if no affinity is positive."""
        import igraph  # slow to import

        phi, notes = get_affinity(self.affinity).measure(game, budget)
        with_affinity(phi, self.affinity, positive=True)
        graph = nearest_graph(phi, self.neighbours)
        # igraph draws from Python's global random state; another generator can be set only for the whole process.
        igraph.set_random_number_generator(random.Random(int(rng.integers(2**31))))
        try:
            labels = graph.community_multilevel(weights="weight", resolution=self.resolution).membership
        finally:
            igraph.set_random_number_generator(random)
        return Coalitions.of(game.n_players, by_affinity(phi, groups_of(np.array(labels))), **notes)
