"""Candidates: which documents a reranker is asked to order for a query (BM25 hard negatives plus the relevant ones)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from coterie.tasks.collections.terms import terms
from coterie.tasks.collections.types import Candidate, Domain
from coterie.tasks.errors import DataError

CANDIDATES_VERSION = 2  # raise it when the rules below change: it is part of the cache key
SPLITS = {"train": 0.80, "dev": 0.84, "discovery": 0.92, "heldout": 1.0}  # upper bounds of the hash that decides


def split_of(query_id: str) -> str:
    """The split of a query of the source domain, from a hash of its id: it stays when other queries come or go."""
    position = int(hashlib.sha256(query_id.encode()).hexdigest()[:12], 16) / 16**12
    return next(name for name, bound in SPLITS.items() if position < bound)


def in_hash_order(ids: Sequence[str], salt: str = "") -> list[str]:
    """The ids in an order that is arbitrary but always the same: take the first k as a sample."""
    return sorted(ids, key=lambda one: hashlib.sha256(f"{salt}order:{one}".encode()).hexdigest())


class BM25:
    """BM25 (Robertson's, k1 = 1.5, b = 0.75; Lucene's idf) over the documents of one domain, through bm25s.

    Raises ``DataError`` where no document has a term.
    """

    def __init__(self, domain: Domain) -> None:
        import bm25s

        self.document_ids = sorted(domain.documents)
        self._row = {d: i for i, d in enumerate(self.document_ids)}
        found = terms([domain.documents[d] for d in self.document_ids])
        if not any(found):
            raise DataError(
                f"domain {domain.name!r}: expected documents with terms for BM25 (words of two characters and more that are no "
                f"English stop words), got none in its {len(found)} documents; fix: a run, or pool: judged"
            )
        self._index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
        self._index.index(found, show_progress=False)

    def scores(self, query: str) -> np.ndarray:
        """BM25 scores of all documents for a query, float32, in the order of ``document_ids``."""
        tokens = [t for t in terms([query])[0] if t in self._index.vocab_dict]
        if not tokens:
            return np.zeros(len(self.document_ids), dtype=np.float32)
        return np.asarray(self._index.get_scores(tokens), dtype=np.float32)

    def score(self, query: str, document_ids: Sequence[str]) -> np.ndarray:
        """BM25 scores of the named documents."""
        return self.scores(query)[[self._row[d] for d in document_ids]]

    def top(self, query: str, k: int) -> list[str]:
        """The k best documents; equal scores in the order of their ids."""
        return [self.document_ids[i] for i in np.argsort(-self.scores(query), kind="stable")[:k]]


def candidates(
    domain: Domain, query_ids: Sequence[str], depth: int, bm25: BM25 | None = None, random_candidates: int = 0
) -> list[Candidate]:
    """``depth`` candidates a query: of its pool where a run gave one, else its relevant documents, filled up.

    A pool is re-ranked as it is: its best ``depth``, whether a relevant one is among them or not. Otherwise the
    relevant documents (of more than half as many, the half that BM25 ranks best) are filled up with BM25's best that are
    not, the last ``random_candidates`` of them drawn at random (always the same ones). Candidates come in order of
    document id within a query, so that their order tells nothing. Raises ``DataError`` where a domain has fewer than
    ``depth`` documents or lacks a query or its pool.
    """
    without = [q for q in query_ids if q not in domain.queries or (domain.pools and q not in domain.pools)]
    if without:
        raise DataError(f"domain {domain.name!r}: query {without[0]!r} is not there or has no candidates")
    if not domain.pools and len(domain.documents) < depth:
        raise DataError(
            f"domain {domain.name!r} has {len(domain.documents)} documents, candidates ask for {depth} a query; "
            f"fix: a smaller number of candidates"
        )
    if domain.pools:
        chosen = {q: list(domain.pools[q][:depth]) for q in query_ids}
    else:
        index = bm25 or BM25(domain)
        chosen = {q: _filled_up(domain, q, depth, index, random_candidates) for q in query_ids}
    return [
        Candidate(q, d, domain.queries[q], domain.documents[d], domain.qrels.get(q, {}).get(d, 0))
        for q in query_ids
        for d in sorted(chosen[q])
    ]


def _filled_up(domain: Domain, query_id: str, depth: int, bm25: BM25, random_candidates: int) -> list[str]:
    relevant = sorted(d for d, grade in domain.qrels.get(query_id, {}).items() if grade > 0)
    if len(relevant) > depth // 2:
        lexical = dict(zip(relevant, bm25.score(domain.queries[query_id], relevant), strict=True))
        relevant = sorted(relevant, key=lambda d: -lexical[d])[: depth // 2]
    judged_relevant = {d for d, grade in domain.qrels.get(query_id, {}).items() if grade > 0}
    ranked = bm25.top(domain.queries[query_id], depth + len(judged_relevant))
    best = [d for d in ranked if d not in judged_relevant][: depth - len(relevant)]
    kept = best[: max(0, len(best) - random_candidates)]
    taken, draw = {*judged_relevant, *kept}, np.random.default_rng(list(hashlib.sha256(query_id.encode()).digest()[:8]))
    order = (bm25.document_ids[int(i)] for i in draw.integers(len(bm25.document_ids), size=50 * depth))
    drawn = [d for d in dict.fromkeys(order) if d not in taken]
    return [*relevant, *kept, *drawn[: len(best) - len(kept)]]
