"""What a reranker reads of a task's pairs: a hash of all tokens, and how many texts are truncated.

The hash represents the tokenizer in the task's fingerprint: it changes with anything that changes a token, whether a file
of the checkpoint or a package version, and with nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coterie.tasks.cache import cached_json
from coterie.tasks.collections.types import Candidate
from coterie.tasks.rerankers.checkpoint import tokenizer_state
from coterie.tasks.rerankers.configuration import concrete_class, model_class
from coterie.tasks.rerankers.encoder import Encoder, accepted_by
from coterie.tasks.rerankers.readouts import columns_of
from coterie.tasks.rerankers.spec import RerankerSpec
from coterie.tasks.rerankers.weights import load_tokenizer

_VERSION = 1  # part of the cache key: increase it whenever the rules in tasks/rerankers/encoder.py change


@dataclass(frozen=True)
class Cut:
    """How much of a split is truncated."""

    pairs: int
    """Number of pairs."""

    documents: int
    """Number of pairs whose document is truncated."""

    queries: int
    """Number of pairs whose query is truncated as well."""


@dataclass(frozen=True)
class TaskInputs:
    """What the tokenizer makes of a task's pairs."""

    digest: str
    """SHA-256 of all tokens."""

    cut: Mapping[str, Cut]
    """How much was truncated, by split."""

    def truncation(self, split: str, max_length: int) -> str | None:
        """A phrase that says how much of a split is truncated; None if nothing is."""
        cut = self.cut[split]
        if not cut.documents:
            return None
        queries = f" and {cut.queries / cut.pairs:.1%} of the queries" if cut.queries else ""
        return f"{cut.documents / cut.pairs:.1%} of the documents{queries} are truncated to fit {max_length} tokens"


def inputs_of(spec: RerankerSpec, pairs: Mapping[str, Sequence[Candidate]]) -> TaskInputs:
    """Tokenize all pairs of every split; the result is kept in the cache folder."""
    texts = hashlib.sha256()
    for split, rows in pairs.items():
        texts.update(json.dumps([split, [(p.query, p.document) for p in rows]]).encode())
    key = [_VERSION, tokenizer_state(spec), spec.template.model_dump(), spec.readout.model_dump(), texts.hexdigest()]
    found = cached_json("inputs", key, lambda: _tokenized(spec, pairs), _is_tokenized)
    return TaskInputs(found["digest"], {split: Cut(*counts) for split, counts in found["cut"].items()})


def _is_tokenized(value: Any) -> bool:
    """Whether a value has the form of what `_tokenized` returns."""
    return (
        isinstance(value, dict)
        and value.keys() == {"digest", "cut"}
        and isinstance(value["digest"], str)
        and re.fullmatch("[0-9a-f]{64}", value["digest"]) is not None
        and isinstance(value["cut"], dict)
        and all(isinstance(counts, list) and len(counts) == 3 for counts in value["cut"].values())
    )


def _tokenized(spec: RerankerSpec, pairs: Mapping[str, Sequence[Candidate]]) -> dict[str, object]:
    tokenizer = load_tokenizer(spec)
    columns_of(spec.readout, model_class(spec)[1], tokenizer, spec.base)  # raises for a readout of unknown tokens
    encoder = Encoder(tokenizer, spec.template, accepted_by(concrete_class(spec)))
    digest, cut = hashlib.sha256(), {}
    for split, rows in pairs.items():
        inputs = encoder.encode(rows)
        digest.update(json.dumps([[one.ids, dict(one.extras)] for one in inputs], sort_keys=True).encode())
        cut[split] = [len(rows), sum(i.cut_document > 0 for i in inputs), sum(i.cut_query > 0 for i in inputs)]
    return {"digest": digest.hexdigest(), "cut": cut}
