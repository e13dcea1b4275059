"""Classical signals of a query-document pair: objectives to train a reranker on, and features to align neurons with.

Notation: Q is the set of the query's terms, d the sequence of the document's terms, |d| its length, tf(t, d) the number of
times that t occurs in d, N the number of documents, df(t) the number of documents that contain t, and avg the mean length
of the documents. Terms are those of `coterie.tasks.collections.bm25.terms`. Every signal is a pure function of the two
texts and the statistics of the collection. A query or document without terms gets 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from coterie.tasks.collections.bm25 import K1, B, terms

LEVELS = 5


@dataclass(frozen=True)
class CollectionStatistics:
    """The statistics of a collection that the signals need."""

    n_documents: int
    """Number of documents, N."""
    document_frequency: Mapping[str, int]
    """Number of documents that contain each term, df(t); a missing term has 0."""
    average_length: float
    """Mean number of terms per document, avg; 0 for an empty collection."""

    def idf(self, term: str) -> float:
        """Lucene's inverse document frequency: ln(1 + (N - df + 1/2) / (df + 1/2)), never negative."""
        df = self.document_frequency.get(term, 0)
        return math.log(1 + (self.n_documents - df + 0.5) / (df + 0.5))


Terms = Sequence[str]
Signal = Callable[[Terms, Terms, CollectionStatistics], float]


def statistics_of(documents: Iterable[str]) -> CollectionStatistics:
    """Count the statistics of a collection, a thousand documents at a time."""
    n, length, frequency, rest = 0, 0, Counter[str](), iter(documents)
    while chunk := list(islice(rest, 1000)):
        for found in terms(chunk):
            n, length = n + 1, length + len(found)
            frequency.update(set(found))
    return CollectionStatistics(n, frequency, length / n if n else 0.0)


def cqtr(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Covered query term ratio: |{t in Q: t in d}| / |Q|, from 0 to 1 (objective CQTR of arXiv 2509.23684)."""
    wanted = set(query)
    return len(wanted & set(document)) / len(wanted) if wanted else 0.0


def mean_tf_l(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Mean length-normalised term frequency: 1/|Q| sum over t in Q of tf(t, d) / |d| (Mean-TF/L of arXiv 2509.23684)."""
    return sum_tf(query, document, statistics) / (len(set(query)) * len(document)) if query and document else 0.0


def sum_tf(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Occurrences of query terms in the document: sum over t in Q of tf(t, d)."""
    wanted = set(query)
    return float(sum(term in wanted for term in document))


def bm25(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """BM25: sum over t in Q of idf(t) tf / (tf + k1 (1 - b + b |d| / avg)), k1 = 1.5, b = 0.75 (Robertson's, as in Lucene)."""
    counts = Counter(document)
    if not document:
        return 0.0
    damping = K1 * (1 - B + B * len(document) / statistics.average_length)
    return sum(statistics.idf(t) * counts[t] / (counts[t] + damping) for t in sorted(set(query)))


def sum_idf(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Sum of idf(t) over the query terms that the document contains."""
    return sum(statistics.idf(t) for t in sorted(set(query) & set(document)))


def query_length(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Number of terms in the query. It is the same for all candidates of a query, so it cannot rank them."""
    return float(len(query))


def document_length(query: Terms, document: Terms, statistics: CollectionStatistics) -> float:
    """Number of terms in the document, |d|."""
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
    """Compute one signal for every (query, document) pair: [pairs], float64."""
    signal, terms_of = SIGNALS[name], _terms_by_text({text for pair in pairs for text in pair})
    return np.array([signal(terms_of[query], terms_of[document], statistics) for query, document in pairs])


def quintile_edges(values: np.ndarray) -> np.ndarray:
    """The 20, 40, 60 and 80 % quantiles [4] of an objective, which separate its levels."""
    edges: np.ndarray = np.quantile(values, np.arange(1, LEVELS) / LEVELS)
    return edges


def graded(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The level 0 to 4 of each value, as a grade for nDCG: the number of edges below it. Equal values share a level."""
    levels: np.ndarray = np.searchsorted(edges, values, side="left")
    return levels


def _terms_by_text(texts: set[str]) -> dict[str, list[str]]:
    ordered = sorted(texts)
    return dict(zip(ordered, terms(ordered), strict=True))
