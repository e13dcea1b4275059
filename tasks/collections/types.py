"""What every collection hands out: queries, documents, judgements and candidates, as plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """One domain of a collection: the texts and who is relevant to whom.

    ``qrels`` maps query id -> document id -> grade (0 is not relevant; a missing pair is unjudged, counted as 0).
    """

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    def fingerprint(self) -> str:
        """SHA-256 of the texts and judgements, in key order: equal exactly when the data are equal."""
        digest = hashlib.sha256()
        for part in (self.queries, self.documents, {q: dict(sorted(d.items())) for q, d in self.qrels.items()}):
            digest.update(json.dumps(dict(sorted(part.items())), ensure_ascii=False).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Candidate:
    """One query-document pair to be scored, with its relevance grade."""

    query_id: str
    document_id: str
    query: str
    document: str
    grade: int
