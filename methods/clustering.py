"""What the clustering baselines share: parameters, groups from labels, their order, and k-means on unit vectors."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from numpy.typing import NDArray

    Members = NDArray[np.int64]

ClusterCount = Annotated[int | None, Field(ge=1, description="number of clusters; null: one per 11 players")]
Restarts = Annotated[int, Field(ge=1, description="k-means runs from different starts, of which the best is kept")]

_MEAN_SIZE = 11  # players per cluster if the number of clusters is not given


def cluster_count(players: int, wanted: int | None) -> int:
    """Return `wanted`, or one cluster per 11 players; at least 1 and at most `players`."""
    return min(max(1, round(players / _MEAN_SIZE)) if wanted is None else wanted, players)


def groups_of(labels: Int[np.ndarray, " players"], players: Members | None = None) -> list[Members]:
    """Return the `players` (default: 0, 1, ...) of each label. Label -1 means no group."""
    everyone = np.arange(len(labels)) if players is None else players
    return [everyone[labels == label] for label in np.unique(labels) if label != -1]


def with_affinity(phi: Float[np.ndarray, "n n"], name: str, positive: bool = False) -> Members:
    """Return the players with an affinity other than 0 (or a positive one) to any other; no others can be grouped.

    Raises `ValueError` if there is no such player, because any grouping would be an artefact of the players' order.
    """
    players = np.flatnonzero((phi > 0 if positive else phi != 0).any(axis=1))
    if not len(players):
        wanted = "a positive affinity" if positive else "an affinity other than 0"
        raise ValueError(
            f"affinity {name!r}: expected a pair of players with {wanted}, got none among {len(phi)} players; "
            f"fix: use another affinity, or a task whose players vary and write something"
        )
    return players


def by_affinity(phi: Float[np.ndarray, "n n"], groups: Sequence[Members]) -> list[Members]:
    """Sort groups by mean affinity over pairs of members, strongest first; singletons last, ties by first member."""
    return sorted(groups, key=lambda g: (len(g) == 1, -_mean_affinity(phi, g), int(g[0])))


def _mean_affinity(phi: Float[np.ndarray, "n n"], members: Members) -> float:
    return float(phi[np.ix_(members, members)].sum(dtype=np.float64)) / max(len(members) * (len(members) - 1), 1)


def as_distance(phi: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Return `max(phi) - phi_ij` with a diagonal of 0: the larger an affinity, the smaller the distance."""
    pairs = ~np.eye(len(phi), dtype=bool)
    distance = phi.max(where=pairs, initial=-np.inf) - phi
    np.fill_diagonal(distance, 0)
    return distance


def kmeans(
    vectors: Float[np.ndarray, "players d"], players: Members, count: int, restarts: int, seed: int
) -> list[Members]:
    """Group `players` into k-means clusters of their unit `vectors`, tightest first (mean cosine), singletons last."""
    from sklearn.cluster import KMeans  # takes a second to import
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # If players share a vector there may be fewer distinct points than clusters; then there are fewer clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = KMeans(count, n_init=restarts, random_state=seed).fit(vectors).labels_
    clusters = groups_of(labels)
    clusters.sort(key=lambda members: (len(members) == 1, -_tightness(vectors[members])))
    return [players[members] for members in clusters]


def _tightness(vectors: Float[np.ndarray, "members d"]) -> float:
    """Mean cosine over pairs of unit vectors: (|sum|^2 - m) / (m (m - 1))."""
    m = len(vectors)
    total = vectors.sum(axis=0, dtype=np.float64)
    return float((total @ total - m) / max(m * (m - 1), 1))
