"""Spectral clustering on an affinity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from coterie.methods.affinity import AffinityMethod, get_affinity
from coterie.methods.arrays import unit_rows
from coterie.methods.clustering import by_affinity, cluster_count, kmeans, with_affinity
from coterie.methods.coalitions import Coalitions

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class Spectral(AffinityMethod):
    """Spectral clustering of an affinity: k-means on the leading eigenvectors of its normalised matrix.

    ``M = D^(-1/2) phi D^(-1/2)``, ``D_ii = sum_j |phi_ij|``; the rows of its k eigenvectors of largest eigenvalue
    (players x k), scaled to norm 1, are clustered by k-means into k clusters. Negative affinities, by ``negative``:
    ``signed`` keeps them, which minimises cuts of the signed Laplacian (enemies are pushed apart, and count as degree);
    ``drop`` sets them to 0, which is Ng, Jordan & Weiss on the positive part. Clusters are ordered by mean affinity over
    pairs of members, singletons last; players without affinities are left out and counted in the notes.

    Reference: Ng, Jordan, Weiss (2001), On spectral clustering; Kunegis et al. (2010), Spectral analysis of signed
    graphs (the signed Laplacian).

    Deviations from the paper: none; one cluster for every 11 players.
    """

    name = "spectral"
    reference = "Ng, Jordan, Weiss (2001), On spectral clustering, NIPS; Kunegis et al. (2010), SDM (signed)"

    n_clusters: Annotated[int | None, Field(ge=1, description="clusters; null: one for every 11 players")] = None
    negative: Annotated[Literal["signed", "drop"], Field(description="negative affinities: kept, or 0")] = "signed"
    restarts: Annotated[int, Field(ge=1, description="runs of k-means, the best is kept")] = 4

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``ValueError`` where all affinities (with ``drop``: all positive ones) are 0."""
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
