"""BM25 over the documents of a domain, and the rule for what counts as a term, which signals and objectives share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.tasks.collections.types import Domain
from coterie.tasks.errors import DataError

K1, B = 1.5, 0.75


def terms(texts: list[str]) -> list[list[str]]:
    """The terms of each text in order: words of at least two characters, in lower case, without English stop words."""
    import bm25s

    return bm25s.tokenize(
        texts, stopwords="en", token_pattern=r"(?u)\b\w\w+\b", return_ids=False, show_progress=False, leave=False
    )


class BM25:
    """BM25 (Robertson's, k1 = 1.5, b = 0.75, Lucene's idf) over the documents of one domain, computed by bm25s.

    Raises `DataError` if no document contains a term.
    """

    def __init__(self, domain: Domain) -> None:
        import bm25s

        self.document_ids = sorted(domain.documents)
        self._row = {d: i for i, d in enumerate(self.document_ids)}
        documents = terms([domain.documents[d] for d in self.document_ids])
        if not any(documents):
            raise DataError(
                f"domain {domain.name!r}: expected documents with terms for BM25 (words of at least two characters that are "
                f"not English stop words), got none in its {len(documents)} documents; fix: give a run, or pool: judged"
            )
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene")
        self._index.index(documents, show_progress=False)

    def scores(self, query: str) -> np.ndarray:
        """BM25 scores of all documents for a query, float32, in the order of `document_ids`."""
        tokens = [t for t in terms([query])[0] if t in self._index.vocab_dict]
        if not tokens:
            return np.zeros(len(self.document_ids), dtype=np.float32)
        return np.asarray(self._index.get_scores(tokens), dtype=np.float32)

    def score(self, query: str, document_ids: Sequence[str]) -> np.ndarray:
        """BM25 scores of the given documents for a query, float32, in the order given."""
        return self.scores(query)[[self._row[d] for d in document_ids]]

    def top(self, query: str, k: int) -> list[str]:
        """The k documents with the highest scores, best first; ties in ascending order of their ids."""
        return [self.document_ids[i] for i in np.argsort(-self.scores(query), kind="stable")[:k]]
