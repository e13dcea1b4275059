"""Density-based clustering on an affinity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from coterie.methods.affinity import AffinityMethod, get_affinity
from coterie.methods.clustering import as_distance, by_affinity, groups_of, with_affinity
from coterie.methods.coalitions import Coalitions

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class Hdbscan(AffinityMethod):
    """HDBSCAN on an affinity: groups that are denser than their surroundings; other players are left out.

    The distance of players i and j is `max(phi) - phi_ij`, with phi_ij their affinity and max(phi) the largest of all,
    so negative affinities are simply the largest distances. The number of clusters follows from the data. Players in no
    dense region, and those without affinities, are left out and counted in the notes. Clusters are ordered by mean
    affinity over pairs of members.

    Reference: Campello, Moulavi, Sander (2013), Density-based clustering based on hierarchical density estimates.

    Deviations from the paper: none (scikit-learn's HDBSCAN).
    """

    name = "hdbscan"
    reference = "Campello, Moulavi, Sander (2013), Density-based clustering based on hierarchical density estimates"

    min_size: Annotated[int, Field(ge=2, description="smallest size of a cluster")] = 3
    neighbours: Annotated[
        int, Field(ge=1, description="nearest players, itself included, that define a player's density")
    ] = 2

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if all affinities are 0."""
        from sklearn.cluster import HDBSCAN  # takes a second to import

        phi, notes = get_affinity(self.affinity).measure(game, budget)
        players = with_affinity(phi, self.affinity)
        groups = []
        if len(players) >= max(self.min_size, self.neighbours):
            model = HDBSCAN(
                min_cluster_size=self.min_size, min_samples=self.neighbours, metric="precomputed", copy=False
            )
            distance = as_distance(phi[np.ix_(players, players)]).astype(np.float64)
            groups = by_affinity(phi, groups_of(model.fit(distance).labels_, players))
        return Coalitions.of(game.n_players, groups, left_out=game.n_players - sum(map(len, groups)), **notes)
