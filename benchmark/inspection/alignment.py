"""How well a coalition's firing follows one classical signal, within queries.

Let F be the firing per pair and S the signal, both minus their mean within the query. Then, over the held-out pairs,
R2 = (sum F S)^2 / (sum F^2 sum S^2): the squared correlation, which is the share of the signal that least squares explains
with one macro-feature. The interval is that of bootstrap resamples of the queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coterie.benchmark.protocol.per_query import centred_within_queries, sums_by_query
from coterie.leaderboard.statistics.bootstrap import MINIMUM_QUERIES, bootstrap_weights


@dataclass(frozen=True)
class Alignment:
    """The alignment of K sets of players with one signal."""

    name: str
    """Name of the signal."""
    correlation: np.ndarray | None
    """Correlation within queries, shape (K,); None if the signal does not vary within queries."""
    low: np.ndarray | None = None
    """Lower end of the 95% interval of R2, shape (K,)."""
    high: np.ndarray | None = None
    """Upper end of the 95% interval of R2, shape (K,)."""
    reason: str | None = None
    """Why the correlation or the interval is missing."""

    @property
    def r2(self) -> np.ndarray | None:
        """Squared correlation, shape (K,)."""
        return None if self.correlation is None else self.correlation**2


def alignments(
    firing: np.ndarray, signals: Mapping[str, np.ndarray], query_of_pair: np.ndarray, resamples: int
) -> list[Alignment]:
    """Align firing, shape (pairs, K), with every signal, shape (pairs,), in the order of `signals`."""
    n_queries = int(query_of_pair.max()) + 1
    weights = bootstrap_weights(n_queries, resamples)
    centred = centred_within_queries(firing, query_of_pair, n_queries)
    return [
        _alignment(
            name, centred, centred_within_queries(values[:, None], query_of_pair, n_queries), query_of_pair, weights
        )
        for name, values in signals.items()
    ]


def _alignment(name: str, firing: np.ndarray, signal: np.ndarray, query: np.ndarray, weights: np.ndarray) -> Alignment:
    """Align centred firing, shape (pairs, K), with one centred signal, shape (pairs, 1)."""
    n_queries = weights.shape[1]
    together, own, signals = (
        sums_by_query(values, query, n_queries) for values in (firing * signal, firing**2, signal**2)
    )
    if signals.sum() <= 1e-12 * len(signal):
        return Alignment(name, None, reason="equal for all candidates of a query")

    def correlation(rows: np.ndarray) -> np.ndarray:
        """Shape (rows, K), from the weight of each query, shape (rows, queries); 0 for a set that does not fire."""
        below = np.sqrt((rows @ own) * (rows @ signals))
        result: np.ndarray = np.divide(rows @ together, below, out=np.zeros_like(below), where=below > 0)
        return result

    whole = correlation(np.ones((1, n_queries)))[0]
    if n_queries < MINIMUM_QUERIES:
        return Alignment(name, whole, reason=f"{n_queries} queries are too few for an interval")
    low, high = np.quantile(correlation(weights) ** 2, [0.025, 0.975], axis=0)
    return Alignment(name, whole, low, high)
