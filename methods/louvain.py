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

    Maximises modularity, ``sum over pairs in one community of (w_ij - gamma s_i s_j / 2m)``, greedily: players move to
    the best neighbouring community, communities become players, and so on. w are the positive affinities on the edges
    (each player with its ``neighbours`` best friends), s_i the sum of i's, m the sum of all, gamma the ``resolution``.
    Negative affinities are left out: the algorithm has no place for them (``leiden[negative=signed]`` has). Communities
    are ordered by mean affinity over pairs of members, singletons last.

    Reference: Blondel, Guillaume, Lambiotte, Lefebvre (2008), Fast unfolding of communities in large networks.

    Deviations from the paper: none (igraph); the graph keeps the nearest neighbours only.
    """

    name = "louvain"
    reference = "Blondel, Guillaume, Lambiotte, Lefebvre (2008), Fast unfolding of communities in large networks"

    resolution: Annotated[float, Field(gt=0, description="gamma: higher makes smaller communities")] = 1.0
    neighbours: Annotated[int, Field(ge=1, description="best friends of each player that make its edges")] = 15

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``ValueError`` where no affinity is positive."""
        import igraph  # only where it runs

        phi, notes = get_affinity(self.affinity).measure(game, budget)
        with_affinity(phi, self.affinity, positive=True)
        graph = nearest_graph(phi, self.neighbours)
        # igraph draws from Python's global random state unless told otherwise, which it can be for the process only.
        igraph.set_random_number_generator(random.Random(int(rng.integers(2**31))))
        try:
            labels = graph.community_multilevel(weights="weight", resolution=self.resolution).membership
        finally:
            igraph.set_random_number_generator(random)
        return Coalitions.of(game.n_players, by_affinity(phi, groups_of(np.array(labels))), **notes)
