"""k-means on activations: neurons that fire alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from coterie.methods.arrays import matrix, unit_rows
from coterie.methods.base import Method
from coterie.methods.clustering import ClusterCount, Restarts, cluster_count, kmeans
from coterie.methods.coalitions import Coalitions
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    from jaxtyping import Float
    from numpy.typing import NDArray

    from coterie.tasks.game import Game

_CONSTANT = 1e-6  # deviation over root mean square: anything below is float32 rounding


@dataclass(frozen=True)
class KMeansActivations(Method):
    """k-means on activation profiles: clusters of neurons that fire on the same pairs.

    The clusters C, with centroids c, minimise

        sum over clusters C of the sum over i in C of |z_i - c|^2

    with z_i the profile of neuron i: its activations (over the rows that `pooling` selects), centred and scaled to norm
    1. As |z_i - z_j|^2 = 2 (1 - rho_ij), with rho_ij the Pearson correlation, negative correlations are the largest
    distances. Clusters are ordered by tightness, the mean correlation over pairs of members, singletons last. Neurons
    that never vary have no profile; they are left out and counted in the notes. Costs one evaluation.

    Reference: Lloyd (1982), Least squares quantization in PCM; scikit-learn's KMeans.

    Deviations from the paper: centroids are means of unit vectors and are not scaled back to the sphere; one cluster
    per 11 neurons by default.
    """

    name = "kmeans-activations"
    sees = frozenset({Capability.ACTIVATIONS})
    reference = "Lloyd (1982), Least squares quantization in PCM, IEEE Trans. Inf. Theory 28"

    n_clusters: ClusterCount = None
    restarts: Restarts = 4
    pooling: Annotated[
        Literal["tokens", "mean", "last"],
        Field(description="rows of a profile: tokens, or pairs by their mean or last token"),
    ] = "mean"

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if no neuron varies or an activation is not finite."""
        profiles, players = _profiles(matrix("activations", game.activations(self.pooling)))
        if not len(players):
            raise ValueError(
                "activations: expected at least one neuron that varies, got none; fix: use more pairs or another layer"
            )
        count, seed = cluster_count(len(players), self.n_clusters), int(rng.integers(2**31))
        clusters = kmeans(profiles, players, count, self.restarts, seed)
        return Coalitions.of(game.n_players, clusters, constant_units=game.n_players - len(players))


def _profiles(
    activations: Float[np.ndarray, "rows players"],
) -> tuple[Float[np.ndarray, "varying rows"], NDArray[np.int64]]:
    """Centred unit profiles of the neurons that vary, and the indices of these neurons."""
    mean = activations.mean(axis=0, dtype=np.float64)
    deviation = activations.std(axis=0, dtype=np.float64)
    players = np.flatnonzero(deviation > _CONSTANT * np.hypot(mean, deviation))
    centred = (activations[:, players] - mean[players]).T.astype(np.float32)
    return unit_rows(np.ascontiguousarray(centred))[0], players
