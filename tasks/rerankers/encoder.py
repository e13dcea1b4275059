"""From a query and a document to the tokens that a reranker reads, by its template and its tokenizer.

If a pair is longer than the template's `max_length`, only the end of the document is removed: the template's own text and
the special tokens always stay, because many rerankers are read at the last token. The query is truncated only if removing
the whole document is not enough.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.spec import Span, Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from coterie.tasks.collections.types import Candidate


@dataclass(frozen=True)
class Inputs:
    """One pair as the model takes it, without padding."""

    ids: list[int]
    """Token ids."""

    extras: Mapping[str, list[int]] = field(default_factory=dict)
    """The tokenizer's other outputs per token, such as `token_type_ids`, by the name of the model's argument."""

    cut_document: int = 0
    """Number of the document's tokens that were truncated."""

    cut_query: int = 0
    """Number of the query's tokens that were truncated."""

    @property
    def tokens(self) -> list[Any]:
        """A key per position that tells different inputs apart: the id, with the extras if there are any."""
        return list(zip(self.ids, *self.extras.values(), strict=True)) if self.extras else self.ids


@dataclass(frozen=True)
class _Tokenized:
    """What the tokenizer returns for one text or pair of texts."""

    ids: list[int]
    extras: Mapping[str, list[int]]
    encoding: Any
    """Encoding of the `tokenizers` package with the tokens' offsets; None for a tokenizer that is written in Python."""


class Encoder:
    """A tokenizer together with a template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: Template, accepted: frozenset[str]) -> None:
        """`accepted` names the model's arguments that the tokenizer may fill (`accepted_by`)."""
        self._tokenizer, self._template, self._accepted = tokenizer, template, accepted

    def encode(self, pairs: Sequence[Candidate]) -> list[Inputs]:
        """The inputs of each pair. Raises `RerankerError` if the template itself is longer than `max_length`."""
        if not pairs:
            return []
        filled = [self._template.fill_with_spans(p.query, p.document) for p in pairs]
        segments = list(zip(*filled, strict=True))
        if self._template.pieces:
            parts = [self._tokenized([text for text, _ in one], add_special_tokens=False) for one in segments]
        else:
            texts = [[text for text, _ in one] for one in segments]
            parts = [self._tokenized(*texts, add_special_tokens=True)]
        return [self._fitted([part(i) for part in parts], filled[i]) for i in range(len(pairs))]

    def _tokenized(self, *texts: list[str], add_special_tokens: bool) -> Callable[[int], _Tokenized]:
        """Tokenize columns of texts; the result returns one row of them."""
        fast = bool(getattr(self._tokenizer, "is_fast", False))
        try:
            encoded = self._tokenizer(
                *texts,
                add_special_tokens=add_special_tokens,
                truncation=False,
                padding=False,
                return_attention_mask=False,
                verbose=False,
            )
        except TypeError:
            broken = [text for column in texts for text in column if any("\ud800" <= c <= "\udfff" for c in text)]
            if not broken:
                raise
            raise RerankerError(
                f"expected texts of whole characters, got half of a surrogate pair in {broken[0][:60]!r}; fix: correct that "
                f"text"
            ) from None
        extras = [name for name in encoded if name != "input_ids" and name in self._accepted]

        def row(i: int) -> _Tokenized:
            return _Tokenized(
                encoded["input_ids"][i], {n: encoded[n][i] for n in extras}, encoded.encodings[i] if fast else None
            )

        return row

    def _fitted(self, parts: list[_Tokenized], filled: list[tuple[str, list[Span]]]) -> Inputs:
        """The concatenated parts, with the end of the document, and then of the query, removed down to `max_length`."""
        ids = [token for part in parts for token in part.ids]
        names = parts[0].extras if parts else {}
        extras = {name: [value for part in parts for value in part.extras[name]] for name in names}
        surplus = len(ids) - self._template.max_length
        if surplus <= 0:
            return Inputs(ids, extras)
        spans = [one for _, one in filled]
        of_field = [name for part in self._field_of_tokens(parts, spans) for name in part]
        document = [i for i, name in enumerate(of_field) if name == "document"]
        query = [i for i, name in enumerate(of_field) if name == "query"]
        if surplus > len(document) + len(query):
            raise RerankerError(
                f"reranker.template.max_length: expected more than the {len(ids) - len(document) - len(query)} tokens of the "
                f"template itself, got {self._template.max_length}; fix: a larger max_length"
            )
        removed = set(document[max(0, len(document) - surplus) :])
        of_query = surplus - len(removed)
        removed |= set(query[len(query) - of_query :]) if of_query else set()
        kept = [i for i in range(len(ids)) if i not in removed]
        return Inputs(
            ids=[ids[i] for i in kept],
            extras={name: [values[i] for i in kept] for name, values in extras.items()},
            cut_document=surplus - of_query,
            cut_query=of_query,
        )

    def _field_of_tokens(self, parts: list[_Tokenized], spans: list[list[Span]]) -> Iterator[list[str | None]]:
        """For each part the field of each of its tokens; None for tokens of the template."""
        for number, part in enumerate(parts):
            if part.encoding is None:
                raise RerankerError(
                    f"reranker.template.max_length: a pair is longer than {self._template.max_length} tokens, and this "
                    f"tokenizer ({type(self._tokenizer).__name__}) does not say which tokens are the document's; "
                    f"fix: a larger max_length, or a checkpoint with a tokenizer.json"
                )
            names: list[str | None] = [None] * len(part.ids)
            for which, fields in enumerate(spans):
                if not self._template.pieces or which == number:
                    for name, first, last in fields:
                        for i in _tokens_between(part.encoding, 0 if self._template.pieces else which, first, last):
                            names[i] = name
            yield names


def accepted_by(kind: type) -> frozenset[str]:
    """The names of the arguments of a model class that a tokenizer may fill, without those that the class would ignore."""
    return frozenset(inspect.signature(kind.forward).parameters) - {"self", "input_ids", "attention_mask"}  # type: ignore[attr-defined]


def _tokens_between(encoding: Any, segment: int, first: int, last: int) -> range:
    """The tokens of a field, from its first to its last character in a segment, without gaps.

    Some tokenizers give white space, accents or emoji an empty span; such a token belongs to the tokens around it.
    """
    places, segments = encoding.offsets, encoding.sequence_ids
    inside = [
        i
        for i, (start, end) in enumerate(places)
        if segments[i] == segment and first <= start and end <= last and start < end
    ]
    if not inside:
        return range(0)
    low, high = inside[0], inside[-1] + 1

    def is_empty(i: int) -> bool:
        return segments[i] == segment and places[i][0] == places[i][1] and first <= places[i][0] <= last

    while low > 0 and is_empty(low - 1):
        low -= 1
    while high < len(places) and is_empty(high):
        high += 1
    return range(low, high)
