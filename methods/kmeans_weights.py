"""k-means on the write vectors: the structural baseline of Hedonic Neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from coterie.methods.arrays import matrix, unit_rows
from coterie.methods.base import Method
from coterie.methods.clustering import cluster_count, kmeans
from coterie.methods.coalitions import Coalitions
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class KMeansWeights(Method):
    """Spherical k-means on what the neurons write: clusters of similar columns of the down projection.

    Minimises the sum over clusters C of ``sum_{i in C} |v_i - c|^2``, ``v_i = u_i / |u_i|`` the unit write vectors
    (players x d_model), ``c`` the centroid. Clusters are ordered by tightness, the mean cosine over pairs of members;
    singletons last. Neurons that write nothing have no direction: they are left out and counted in the notes.
    Sees weights only and costs no evaluation.

    Reference: the k-means baseline of Chowdhury, Nijasure, Zick, Allan (2026).

    Deviations from the paper: centroids are means of unit vectors and are not scaled back to the sphere (Lloyd's
    algorithm of scikit-learn on unit vectors); the number of clusters is one for every 11 neurons.
    """

    name = "kmeans-weights"
    sees = frozenset({Capability.WEIGHTS})
    reference = "Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684 (baseline)"

    n_clusters: Annotated[int | None, Field(ge=1, description="clusters; null: one for every 11 neurons")] = None
    restarts: Annotated[int, Field(ge=1, description="runs from different starts, the best is kept")] = 4

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``ValueError`` where no neuron writes anything or a weight is not finite."""
        vectors, live = unit_rows(matrix("write vectors", game.write_vectors()))
        players = np.flatnonzero(live)
        if not len(players):
            raise ValueError(
                "write vectors: expected at least one that is not zero, got none; fix: take a layer that writes something"
            )
        count, seed = cluster_count(len(players), self.n_clusters), int(rng.integers(2**31))
        clusters = kmeans(vectors[players], players, count, self.restarts, seed)
        return Coalitions.of(game.n_players, clusters, dead_units=game.n_players - len(players))
