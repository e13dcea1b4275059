"""Spectral clustering on an affinity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from coterie.methods.affinity import AffinityMethod, get_affinity
from coterie.methods.arrays import unit_rows
from coterie.methods.clustering import ClusterCount, Restarts, by_affinity, cluster_count, kmeans, with_affinity
from coterie.methods.coalitions import Coalitions

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class Spectral(AffinityMethod):
    """Spectral clustering of an affinity: k-means on the leading eigenvectors of its normalised matrix.

    The normalised matrix is

        M_ij = phi_ij / sqrt(d_i d_j)   with   d_i = sum of |phi_ij| over j

    with phi_ij the affinity of players i and j. Each player becomes its row of the k eigenvectors of M with the largest
    eigenvalues, scaled to norm 1, and k-means groups these rows into k clusters. Clusters are ordered by mean affinity
    over pairs of members, singletons last. Players without affinities are left out and counted in the notes.

    The parameter `negative` determines what negative affinities do. With `signed` they stay in the matrix, which
    minimises cuts of the signed Laplacian: enemies are pushed apart and count in d_i. With `drop` they become 0, which
    is the algorithm of Ng, Jordan & Weiss on the positive part.

    Reference: Ng, Jordan, Weiss (2001), On spectral clustering; Kunegis et al. (2010), Spectral analysis of signed
    graphs (the signed Laplacian).

    Deviations from the paper: none; one cluster per 11 players by default.
    """

    name = "spectral"
    reference = "Ng, Jordan, Weiss (2001), On spectral clustering, NIPS; Kunegis et al. (2010), SDM (signed)"

    n_clusters: ClusterCount = None
    negative: Annotated[
        Literal["signed", "drop"], Field(description="treatment of negative affinities: kept, or set to 0")
    ] = "signed"
    restarts: Restarts = 4

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if all affinities (with `drop`, all positive ones) are 0."""
        from scipy.linalg import eigh

        phi, notes = get_affinity(self.affinity).measure(game, budget)
        weights = np.maximum(phi, 0) if self.negative == "drop" else phi
        players = with_affinity(weights, self.affinity, positive=self.negative == "drop")
        count = cluster_count(len(players), self.n_clusters)
        weights = weights[np.ix_(players, players)].astype(np.float64)
        scale = 1 / np.sqrt(np.abs(weights).sum(axis=1))
        top = (len(players) - count, len(players) - 1)
        vectors = eigh(scale[:, None] * weights * scale, subset_by_index=top)[1]
        clusters = kmeans(unit_rows(vectors)[0], players, count, self.restarts, int(rng.integers(2**31)))
        left_out = game.n_players - len(players)
        return Coalitions.of(game.n_players, by_affinity(phi, clusters), left_out=left_out, **notes)
