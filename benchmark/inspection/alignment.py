"""How well a coalition's firing follows one classical signal, within queries.

With F the firing by pair and S the signal, both minus their mean within the query: R2 = (sum F S)^2 / (sum F^2 sum S^2) over
the held-out pairs, the squared correlation, which is what one macro-feature explains of the signal by least squares. Interval:
the same on bootstrap resamples of the queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coterie.leaderboard.statistics.bootstrap import MINIMUM_QUERIES, bootstrap_weights


@dataclass(frozen=True)
class Alignment:
    """Of K sets with one signal; the arrays are [K], or there is a reason why the signal cannot be followed."""

    name: str
    correlation: np.ndarray | None
    low: np.ndarray | None = None  # of R2
    high: np.ndarray | None = None
    reason: str | None = None

    @property
    def r2(self) -> np.ndarray | None:
        return None if self.correlation is None else self.correlation**2


def alignments(
    firing: np.ndarray, signals: Mapping[str, np.ndarray], query_of_pair: np.ndarray, resamples: int
) -> list[Alignment]:
    """Every signal [pairs], in the order given, with firing [pairs, K]."""
    weights = bootstrap_weights(int(query_of_pair.max()) + 1, resamples)
    centred = _centred(firing, query_of_pair)
    return [
        _alignment(name, centred, _centred(values[:, None], query_of_pair), query_of_pair, weights)
        for name, values in signals.items()
    ]


def _alignment(name: str, firing: np.ndarray, signal: np.ndarray, query: np.ndarray, weights: np.ndarray) -> Alignment:
    together, own, signals = (_sums(values, query) for values in (firing * signal, firing**2, signal**2))
    if signals.sum() <= 1e-12 * len(signal):
        return Alignment(name, None, reason="the same for all candidates of a query")

    def correlation(rows: np.ndarray) -> np.ndarray:
        """[rows, K] from how often each query counts [rows, Q]; 0 for a set that does not fire."""
        below = np.sqrt((rows @ own) * (rows @ signals))
        result: np.ndarray = np.divide(rows @ together, below, out=np.zeros_like(below), where=below > 0)
        return result

    whole = correlation(np.ones((1, weights.shape[1])))[0]
    if weights.shape[1] < MINIMUM_QUERIES:
        return Alignment(name, whole, reason=f"{weights.shape[1]} queries are too few for an interval")
    low, high = np.quantile(correlation(weights) ** 2, [0.025, 0.975], axis=0)
    return Alignment(name, whole, low, high)


def _centred(values: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Values [pairs, K] minus their mean within the query."""
    centred: np.ndarray = values - (_sums(values, query) / np.bincount(query)[:, None])[query]
    return centred


def _sums(values: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Sums [Q, K] over each query's pairs."""
    return np.stack([np.bincount(query, column) for column in values.T], axis=1)
