"""Classical signals of a query-document pair: what a reranker may be trained to compute, and what it is aligned with.

Notation: Q the set of the query's terms, d the document's terms in order, tf(t, d) how often t stands in d, |d| their
number, N documents in the collection, df(t) those that hold t, and avg their mean length. Terms are those of
:func:`coterie.tasks.collections.terms.terms`. Every signal is a pure function of the two texts and the collection's
statistics, and 0 for a query or a document without terms.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from coterie.tasks.collections.terms import terms

K1, B = 1.5, 0.75  # BM25's constants, as in the candidates' BM25
LEVELS = 5


@dataclass(frozen=True)
class CollectionStatistics:
    """What the signals know of a collection: its size N, df(t) of every term, and the mean number of terms."""

    n_documents: int
    document_frequency: Mapping[str, int]
    average_length: float

    def idf(self, term: str) -> float:
        """Lucene's inverse document frequency: ln(1 + (N - df + 1/2) / (df + 1/2)), never negative."""
        df = self.document_frequency.get(term, 0)
        return math.log(1 + (self.n_documents - df + 0.5) / (df + 0.5))


Terms = Sequence[str]
Signal = Callable[[Terms, Terms, CollectionStatistics], float]


def statistics_of(documents: Iterable[str]) -> CollectionStatistics:
    """Count a collection, a thousand documents at a time."""
    n, length, frequency, rest = 0, 0, Counter[str](), iter(documents)
    while chunk := list(islice(rest, 1000)):
        for found in terms(chunk):
            n, length = n + 1, length + len(found)
            frequency.update(set(found))
    return CollectionStatistics(n, frequency, length / n if n else 0.0)


def cqtr(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Covered query term ratio: |{t in Q: t in d}| / |Q|, 0 to 1 (objective CQTR of arXiv 2509.23684)."""
    asked = set(query)
    return len(asked & set(document)) / len(asked) if asked else 0.0


def mean_tf_l(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Mean length-normalised term frequency: 1/|Q| sum over t in Q of tf(t, d) / |d| (Mean-TF/L of arXiv 2509.23684)."""
    return sum_tf(query, document, statistics) / (len(set(query)) * len(document)) if query and document else 0.0


def sum_tf(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Occurrences of query terms: sum over t in Q of tf(t, d)."""
    asked = set(query)
    return float(sum(term in asked for term in document))


def bm25(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """BM25: sum over t in Q of idf(t) tf / (tf + k1 (1 - b + b |d| / avg)), k1 = 1.5, b = 0.75 (Lucene's, Robertson's)."""
    counts = Counter(document)
    if not document:
        return 0.0
    damping = K1 * (1 - B + B * len(document) / statistics.average_length)
    return sum(statistics.idf(t) * counts[t] / (counts[t] + damping) for t in sorted(set(query)))


def sum_idf(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Sum of idf(t) over the query terms that the document holds."""
    return sum(statistics.idf(t) for t in sorted(set(query) & set(document)))


def query_length(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Number of terms of the query: the same for all candidates of a query, so nothing to rank by."""
    return float(len(query))


def document_length(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Number of terms of the document, |d|."""
    return float(len(document))


SIGNALS: dict[str, Signal] = {
    "cqtr": cqtr,
    "mean-tf-l": mean_tf_l,
    "sum-tf": sum_tf,
    "bm25": bm25,
    "sum-idf": sum_idf,
    "query-length": query_length,
    "document-length": document_length,
}


def signal_values(name: str, pairs: Sequence[tuple[str, str]], statistics: CollectionStatistics) -> np.ndarray:
    """One signal of every (query, document) [pairs], float64."""
    signal, known = SIGNALS[name], _terms_of({text for pair in pairs for text in pair})
    return np.array([signal(known[query], known[document], statistics) for query, document in pairs])


def quintile_edges(values: np.ndarray) -> np.ndarray:
    """The 20, 40, 60 and 80 % quantiles [4] of an objective: the bounds between its graded levels."""
    edges: np.ndarray = np.quantile(values, np.arange(1, LEVELS) / LEVELS)
    return edges


def graded(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Levels 0 to 4 of an objective for nDCG: how many of the edges a value is above. Equal values share a level."""
    levels: np.ndarray = np.searchsorted(edges, values, side="left")
    return levels


def _terms_of(texts: set[str]) -> dict[str, list[str]]:
    ordered = sorted(texts)
    return dict(zip(ordered, terms(ordered), strict=True))
