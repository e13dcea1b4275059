"""What every collection hands out: queries, documents, judgements and candidates, as plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Domain:
    """One domain of a collection: the texts and who is relevant to whom.

    ``qrels`` maps query id -> document id -> grade (0 is not relevant; a missing pair is unjudged, counted as 0).
    ``pools`` are candidates that a run gives, best first, by query; none where BM25 is to choose. ``notes`` counts, by
    reason, what was left out or mended while reading.
    """

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    pools: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """SHA-256 of the texts and judgements, in key order: equal exactly when the data are equal."""
        digest = hashlib.sha256()
        for part in (self.queries, self.documents, {q: dict(sorted(d.items())) for q, d in self.qrels.items()}):
            digest.update(json.dumps(dict(sorted(part.items())), ensure_ascii=False).encode())
        if self.pools:
            digest.update(json.dumps({q: list(pool) for q, pool in sorted(self.pools.items())}).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Candidate:
    """One query-document pair to be scored, with its grade, and its objective where that is not the grade."""

    query_id: str
    document_id: str
    query: str
    document: str
    grade: int
    value: float | None = None

    @property
    def objective(self) -> float:
        """What the reranker was trained to tell of this pair."""
        return float(self.grade) if self.value is None else self.value
