"""Candidates: the documents that a reranker ranks for a query, from a run or from the judgements and BM25."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from coterie.tasks.collections.bm25 import BM25
from coterie.tasks.collections.types import Candidate, Domain
from coterie.tasks.errors import DataError

CANDIDATES_VERSION = 2  # part of the cache key: increase it whenever the rules below change


def candidates(
    domain: Domain, query_ids: Sequence[str], depth: int, bm25: BM25 | None = None, random_candidates: int = 0
) -> list[Candidate]:
    """Choose `depth` candidates per query: the best of its pool if the domain has pools, else relevant and similar ones.

    A pool is reranked as given, even if no relevant document is among its best `depth`. Without pools, the relevant
    documents come first (at most `depth // 2` of them, those that BM25 ranks highest), then the other documents that BM25
    ranks highest; the last `random_candidates` of these are replaced by random documents, always the same ones. Within a
    query, candidates are sorted by document id, so that their order reveals nothing. Raises `DataError` if a query is
    missing from the domain or has no pool, or if the domain has fewer than `depth` documents.
    """
    missing = [q for q in query_ids if q not in domain.queries or (domain.pools and q not in domain.pools)]
    if missing:
        raise DataError(f"domain {domain.name!r}: query {missing[0]!r} does not exist or has no candidates")
    if not domain.pools and len(domain.documents) < depth:
        raise DataError(
            f"domain {domain.name!r}: expected at least {depth} documents, one per candidate of a query, got "
            f"{len(domain.documents)}; fix: reduce candidates"
        )
    if domain.pools:
        chosen = {q: list(domain.pools[q][:depth]) for q in query_ids}
    else:
        index = bm25 or BM25(domain)
        chosen = {q: _relevant_and_similar(domain, q, depth, index, random_candidates) for q in query_ids}
    return [
        Candidate(q, d, domain.queries[q], domain.documents[d], domain.qrels.get(q, {}).get(d, 0))
        for q in query_ids
        for d in sorted(chosen[q])
    ]


def _relevant_and_similar(domain: Domain, query_id: str, depth: int, bm25: BM25, n_random: int) -> list[str]:
    query = domain.queries[query_id]
    all_relevant = sorted(d for d, grade in domain.qrels.get(query_id, {}).items() if grade > 0)
    relevant = all_relevant
    if len(relevant) > depth // 2:
        score = dict(zip(relevant, bm25.score(query, relevant), strict=True))
        relevant = sorted(relevant, key=lambda d: -score[d])[: depth // 2]
    ranked = [d for d in bm25.top(query, depth + len(all_relevant)) if d not in set(all_relevant)]
    similar = ranked[: depth - len(relevant)]
    kept = similar[: max(0, len(similar) - n_random)]
    drawn = _random_documents(query_id, bm25.document_ids, 50 * depth, without={*all_relevant, *kept})
    return [*relevant, *kept, *drawn[: len(similar) - len(kept)]]


def _random_documents(query_id: str, document_ids: Sequence[str], draws: int, without: set[str]) -> list[str]:
    """Distinct documents from this many draws, seeded by the query's id."""
    rng = np.random.default_rng(list(hashlib.sha256(query_id.encode()).digest()[:8]))
    order = (document_ids[int(i)] for i in rng.integers(len(document_ids), size=draws))
    return [d for d in dict.fromkeys(order) if d not in without]
