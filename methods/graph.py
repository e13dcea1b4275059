"""An affinity matrix as a graph, for community detection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

_ROWS = 1024  # rows searched for nearest neighbours at a time


def nearest_graph(phi: Float[np.ndarray, "n n"], neighbours: int) -> Any:
    """Return an undirected `igraph.Graph` that connects each player with its `neighbours` best friends.

    Two players have an edge if one is among the other's `neighbours` largest positive affinities (ties: the lower index).
    The edge attribute `weight` is the affinity. With all edges, 14,336 players would have 10^8 of them: 10 GB as a graph.
    """
    import igraph  # slow to import

    n = len(phi)
    kept: list[Any] = []
    for start in range(0, n, _ROWS):
        rows = phi[start : start + _ROWS]
        best = np.argsort(-rows, axis=1, kind="stable")[:, :neighbours]
        player = np.arange(start, start + len(rows))[:, None]
        positive = np.take_along_axis(rows, best, axis=1) > 0
        pairs = np.stack(np.broadcast_arrays(np.minimum(player, best), np.maximum(player, best)), axis=-1)
        kept.append(pairs[positive])
    edges = np.unique(np.concatenate(kept), axis=0)
    graph = igraph.Graph(n, edges)
    graph.es["weight"] = phi[edges[:, 0], edges[:, 1]].astype(np.float64)
    return graph
