"""Hierarchical clustering on an affinity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from coterie.methods.affinity import AffinityMethod, get_affinity
from coterie.methods.clustering import ClusterCount, as_distance, by_affinity, cluster_count, groups_of, with_affinity
from coterie.methods.coalitions import Coalitions

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class Hierarchical(AffinityMethod):
    """Average linkage on an affinity: merge the two clusters of largest mean affinity until few enough clusters are left.

    The similarity of clusters C and D is the mean affinity between them,

        link(C, D) = 1 / (|C| |D|) * sum of phi_ij over i in C, j in D

    with phi_ij the affinity of players i and j and |C| the size of C. Negative affinities need no special treatment:
    average linkage is the same for `max(phi) - phi` as a distance and for phi as a similarity, so they only make a
    merge less likely. Clusters are ordered by mean affinity over pairs of members, singletons last. Players whose
    affinities are all 0 are left out and counted in the notes. Takes 16 bytes per pair of players.

    Reference: Sokal & Michener (1958), A statistical method for evaluating systematic relationships (UPGMA).

    Deviations from the paper: none (scikit-learn's AgglomerativeClustering); one cluster per 11 players by default.
    """

    name = "hierarchical"
    reference = "Sokal & Michener (1958), A statistical method for evaluating systematic relationships"

    n_clusters: ClusterCount = None

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if all affinities are 0."""
        from sklearn.cluster import AgglomerativeClustering  # takes a second to import

        phi, notes = get_affinity(self.affinity).measure(game, budget)
        players = with_affinity(phi, self.affinity)
        count = cluster_count(len(players), self.n_clusters)
        model = AgglomerativeClustering(count, metric="precomputed", linkage="average")
        labels = model.fit(as_distance(phi[np.ix_(players, players)])).labels_
        groups = by_affinity(phi, groups_of(labels, players))
        return Coalitions.of(game.n_players, groups, left_out=game.n_players - len(players), **notes)
