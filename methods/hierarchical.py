"""Hierarchical clustering on an affinity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from coterie.methods.affinity import AffinityMethod, get_affinity
from coterie.methods.clustering import as_distance, by_affinity, cluster_count, groups_of, with_affinity
from coterie.methods.coalitions import Coalitions

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class Hierarchical(AffinityMethod):
    """Average linkage on an affinity: merge the two clusters of largest mean affinity until enough clusters are left.

    ``link(C, D) = 1 / (|C| |D|) * sum of phi_ij over i in C, j in D``, phi the affinity (players x players). Sees what a
    hedonic method on the same affinity sees. Negative affinities are used as they are: average linkage is the same for
    ``max(phi) - phi`` as a distance and for phi as a similarity, so they only make a merge less likely. Clusters are
    ordered by mean affinity over pairs of members, singletons last. Players whose affinities are all 0 are left out and
    counted in the notes. Memory: 16 bytes a pair of players.

    Reference: Sokal & Michener (1958), A statistical method for evaluating systematic relationships (UPGMA).

    Deviations from the paper: none (scikit-learn's AgglomerativeClustering); one cluster for every 11 players.
    """

    name = "hierarchical"
    reference = "Sokal & Michener (1958), A statistical method for evaluating systematic relationships"

    n_clusters: Annotated[int | None, Field(ge=1, description="clusters; null: one for every 11 players")] = None

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``ValueError`` where all affinities are 0."""
        from sklearn.cluster import AgglomerativeClustering  # a second to import: only where it runs

        phi, notes = get_affinity(self.affinity).measure(game, budget)
        players = with_affinity(phi, self.affinity)
        count = cluster_count(len(players), self.n_clusters)
        model = AgglomerativeClustering(count, metric="precomputed", linkage="average")
        labels = model.fit(as_distance(phi[np.ix_(players, players)])).labels_
        groups = by_affinity(phi, groups_of(labels, players))
        return Coalitions.of(game.n_players, groups, left_out=game.n_players - len(players), **notes)
