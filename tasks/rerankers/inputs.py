"""What a reranker reads of a task's pairs: a hash of every token, and how much of the texts is cut off.

The hash stands for the tokenizer in the task's fingerprint. Whatever changes a token, a file of the checkpoint or a version of
a package, changes it; whatever changes none leaves it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coterie.tasks.cache import remembered
from coterie.tasks.collections.types import Candidate
from coterie.tasks.rerankers.checkpoint import concrete_class, model_class, tokenizer_state
from coterie.tasks.rerankers.readouts import columns_of
from coterie.tasks.rerankers.spec import RerankerSpec

_VERSION = 1  # raise it when the rules of tasks/rerankers/template.py change: it is part of the cache key


@dataclass(frozen=True)
class Cut:
    """How many pairs a split has, of how many the document was cut, and of how many the query, too."""

    pairs: int
    documents: int
    queries: int


@dataclass(frozen=True)
class TaskInputs:
    """``digest`` is the SHA-256 of all tokens; ``cut`` says by split what was left out."""

    digest: str
    cut: Mapping[str, Cut]

    def in_words(self, split: str, max_length: int) -> str | None:
        """How much of a split is cut, in words; None where nothing is."""
        cut = self.cut[split]
        if not cut.documents:
            return None
        queries = f", and {cut.queries / cut.pairs:.1%} of the queries" if cut.queries else ""
        return f"{cut.documents / cut.pairs:.1%} of the documents{queries} are cut to fit {max_length} tokens"


def inputs_of(spec: RerankerSpec, pairs: Mapping[str, Sequence[Candidate]]) -> TaskInputs:
    """Tokenize all pairs, once: the result is kept in the cache folder."""
    texts = hashlib.sha256()
    for split, rows in pairs.items():
        texts.update(json.dumps([split, [(p.query, p.document) for p in rows]]).encode())
    key = [_VERSION, tokenizer_state(spec), spec.template.model_dump(), spec.readout.model_dump(), texts.hexdigest()]
    found = remembered("inputs", key, lambda: _tokenized(spec, pairs), _is_tokenized)
    return TaskInputs(found["digest"], {split: Cut(*counts) for split, counts in found["cut"].items()})


def _is_tokenized(value: Any) -> bool:
    """Whether a value has the form of what :func:`_tokenized` gives."""
    return (
        isinstance(value, dict)
        and value.keys() == {"digest", "cut"}
        and isinstance(value["digest"], str)
        and re.fullmatch("[0-9a-f]{64}", value["digest"]) is not None
        and isinstance(value["cut"], dict)
        and all(isinstance(counts, list) and len(counts) == 3 for counts in value["cut"].values())
    )


def _tokenized(spec: RerankerSpec, pairs: Mapping[str, Sequence[Candidate]]) -> dict[str, object]:
    from coterie.tasks.rerankers.reranker import accepted_by
    from coterie.tasks.rerankers.template import Encoder
    from coterie.tasks.rerankers.weights import load_tokenizer

    tokenizer = load_tokenizer(spec)
    columns_of(spec.readout, model_class(spec)[1], tokenizer, spec.base)  # words that it reads must be tokens
    encoder = Encoder(tokenizer, spec.template, accepted_by(concrete_class(spec)))
    digest, cut = hashlib.sha256(), {}
    for split, rows in pairs.items():
        inputs = encoder.encode(rows)
        digest.update(json.dumps([[one.ids, dict(one.extras)] for one in inputs], sort_keys=True).encode())
        documents, queries = (
            sum(n > 0 for n in counts) for counts in zip(*((i.cut_document, i.cut_query) for i in inputs), strict=True)
        )
        cut[split] = [len(rows), documents, queries]
    return {"digest": digest.hexdigest(), "cut": cut}
