"""k-means on the write vectors: the structural baseline of Hedonic Neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from coterie.methods.arrays import matrix, unit_rows
from coterie.methods.base import Method
from coterie.methods.clustering import ClusterCount, Restarts, cluster_count, kmeans
from coterie.methods.coalitions import Coalitions
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class KMeansWeights(Method):
    """Spherical k-means on what the neurons write: clusters of similar columns of the down projection.

    The clusters C, with centroids c, minimise

        sum over clusters C of the sum over i in C of |v_i - c|^2

    with v_i the write vector of neuron i (its column of the down projection), scaled to norm 1. Clusters are ordered by
    tightness, the mean cosine over pairs of members, singletons last. Neurons that write nothing have no direction;
    they are left out and counted in the notes. Sees only weights and costs no evaluation.

    Reference: the k-means baseline of Chowdhury, Nijasure, Zick, Allan (2026).

    Deviations from the paper: centroids are means of unit vectors and are not scaled back to the sphere (Lloyd's
    algorithm of scikit-learn on unit vectors); one cluster per 11 neurons by default.
    """

    name = "kmeans-weights"
    sees = frozenset({Capability.WEIGHTS})
    reference = "Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684 (baseline)"

    n_clusters: ClusterCount = None
    restarts: Restarts = 4

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if no neuron writes anything or a weight is not finite."""
        vectors, live = unit_rows(matrix("write vectors", game.write_vectors()))
        players = np.flatnonzero(live)
        if not len(players):
            raise ValueError(
                "write vectors: expected at least one that is not zero, got none; fix: use a layer that writes something"
            )
        count, seed = cluster_count(len(players), self.n_clusters), int(rng.integers(2**31))
        clusters = kmeans(vectors[players], players, count, self.restarts, seed)
        return Coalitions.of(game.n_players, clusters, dead_units=game.n_players - len(players))
