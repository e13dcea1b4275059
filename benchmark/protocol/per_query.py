"""Sums and centring of values within queries."""

from __future__ import annotations

import numpy as np


def sums_by_query(values: np.ndarray, query_of_pair: np.ndarray, n_queries: int) -> np.ndarray:
    """Sums over each query's pairs: (pairs,) to (queries,), or (pairs, columns) to (queries, columns)."""
    if values.ndim == 1:
        return np.bincount(query_of_pair, values, n_queries)
    return np.stack([np.bincount(query_of_pair, column, n_queries) for column in values.T], axis=1)


def centred_within_queries(values: np.ndarray, query_of_pair: np.ndarray, n_queries: int) -> np.ndarray:
    """Values, shape (pairs,) or (pairs, columns), minus their mean over the query's pairs."""
    counts = np.bincount(query_of_pair, minlength=n_queries).reshape(-1, *[1] * (values.ndim - 1))
    means = sums_by_query(values, query_of_pair, n_queries) / counts
    centred: np.ndarray = values - means[query_of_pair]
    return centred
