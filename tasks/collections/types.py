"""The values that every collection is read into: a domain of texts with judgements, and candidates to score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self


@dataclass(frozen=True)
class Domain:
    """One domain of a collection: its texts, and which documents are relevant to which queries."""

    name: str
    """Name in results and errors."""
    queries: Mapping[str, str]
    """Query id to text."""
    documents: Mapping[str, str]
    """Document id to text."""
    qrels: Mapping[str, Mapping[str, int]]
    """Query id to document id to grade. Grade 0 is not relevant; a missing pair is unjudged and counts as 0."""
    pools: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Query id to the candidates of a run or of the judgements, best first. Empty if BM25 chooses the candidates."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """Number of items that were dropped while reading, by reason."""

    def fingerprint(self) -> str:
        """SHA-256 of texts, judgements and pools, in key order: equal if and only if these are equal."""
        digest = hashlib.sha256()
        for part in (self.queries, self.documents, {q: dict(sorted(d.items())) for q, d in self.qrels.items()}):
            digest.update(json.dumps(dict(sorted(part.items())), ensure_ascii=False).encode())
        if self.pools:
            digest.update(json.dumps({q: list(pool) for q, pool in sorted(self.pools.items())}).encode())
        return digest.hexdigest()

    def truncated(self, words: int | None) -> Self:
        """The domain with every document truncated to its first `words` words; None truncates nothing."""
        if words is None:
            return self
        return replace(self, documents={d: " ".join(text.split()[:words]) for d, text in self.documents.items()})


@dataclass(frozen=True)
class Candidate:
    """A query-document pair to score."""

    query_id: str
    """Id of the query in its collection."""
    document_id: str
    """Id of the document in its collection."""
    query: str
    """Text of the query."""
    document: str
    """Text of the document."""
    grade: int
    """Relevance grade, or the level 0 to 4 of a scalar objective."""
    value: float | None = None
    """Value of a scalar objective; None if the objective is the grade."""

    @property
    def objective(self) -> float:
        """What the reranker was trained to predict for this pair."""
        return float(self.grade) if self.value is None else self.value
