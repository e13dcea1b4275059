"""The input template: how a query and a document become the text, and then the tokens, that a reranker reads.

Where a pair is longer than ``max_length`` tokens, the document is cut at its end and nothing else: what the template puts
around it, special tokens included, always stays, since many rerankers are read at the last token. Only where the document
is used up is the query cut, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from coterie.tasks.errors import RerankerError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from coterie.tasks.collections.types import Candidate

_FIELD = re.compile(r"\{(query|document)\}")
_ANY_FIELD = re.compile(r"\{([ \w.-]+)\}")  # and what may be meant as one


class Template(BaseModel):
    """How a query-document pair becomes the model's input.

    Either two segments, ``first`` and ``second``, that the tokenizer joins as it joins a text pair, with its special tokens
    (an empty ``second`` makes one text); or ``pieces``, each tokenized on its own without special tokens and put side by side,
    as rerankers that are language models are prompted. Only ``{query}`` and ``{document}`` are replaced, literally.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: str = "{query}"
    second: str = "{document}"
    pieces: tuple[str, ...] = Field(
        default=(), description="instead of first and second; special tokens by their names"
    )
    max_length: int = Field(default=512, ge=8, strict=True, description="tokens of a pair; longer documents are cut")

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if self.pieces and (self.first, self.second) != ("{query}", "{document}"):
            raise ValueError("expected first and second, or pieces, got both; fix: leave one of them out")
        found = [name for segment in self.segments for name in _ANY_FIELD.findall(segment)]
        unknown = [name for name in found if name not in ("query", "document")]
        if unknown:
            raise ValueError(
                f"expected {{query}} and {{document}}, got {{{unknown[0]}}}; fix: write the text itself in its place"
            )
        if "query" not in found or found.count("document") != 1:
            raise ValueError(
                f"expected {{query}} and, once, {{document}}, got {found or 'neither'}; "
                f'fix: first: "{{query}}", second: "{{document}}"'
            )
        return self

    @property
    def segments(self) -> tuple[str, ...]:
        """What is tokenized: the pieces, or the two segments without an empty second one."""
        return self.pieces or tuple(part for part in (self.first, self.second) if part)

    def fill(self, query: str, document: str) -> tuple[str, ...]:
        """The segments of one pair."""
        return tuple(text for text, _ in self._filled(query, document))

    def _filled(self, query: str, document: str) -> list[tuple[str, list[tuple[str, int, int]]]]:
        """Each segment's text, and where the query and the document stand in it (name, start, end)."""
        values = {"query": query, "document": document}
        filled = []
        for segment in self.segments:
            text, spans = "", []
            for i, part in enumerate(_FIELD.split(segment)):  # texts and the names of fields in turn
                if i % 2:
                    spans.append((part, len(text), len(text) + len(values[part])))
                text += values[part] if i % 2 else part
            filled.append((text, spans))
        return filled


@dataclass(frozen=True)
class Inputs:
    """One pair as the model takes it, not padded: token ids, and whatever else the tokenizer makes for each token.

    ``extras`` holds the tokenizer's other outputs by the model's argument, such as ``token_type_ids``. ``cut_document`` and
    ``cut_query`` count the tokens that were left out.
    """

    ids: list[int]
    extras: Mapping[str, list[int]] = field(default_factory=dict)
    cut_document: int = 0
    cut_query: int = 0

    @property
    def tokens(self) -> list[Any]:
        """What stands at each place: the id alone, or with the extras, as a key that tells different tokens apart."""
        return list(zip(self.ids, *self.extras.values(), strict=True)) if self.extras else self.ids


class Encoder:
    """A tokenizer under a template. ``accepted`` are the names of the arguments that the model takes."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: Template, accepted: frozenset[str]) -> None:
        self._tokenizer, self._template, self._accepted = tokenizer, template, accepted

    def encode(self, pairs: Sequence[Candidate]) -> list[Inputs]:
        """The inputs of each pair. Raises :class:`RerankerError` where the template alone is longer than allowed."""
        if not pairs:
            return []
        filled = [self._template._filled(p.query, p.document) for p in pairs]
        segments = list(zip(*filled, strict=True))
        if self._template.pieces:
            parts = [self._tokenized([text for text, _ in one], add_special_tokens=False) for one in segments]
        else:
            texts = [[text for text, _ in one] for one in segments]
            parts = [self._tokenized(*texts, add_special_tokens=True)]
        return [self._fitted([part(i) for part in parts], filled[i]) for i in range(len(pairs))]

    def _tokenized(self, *texts: list[str], add_special_tokens: bool) -> Callable[[int], _Tokenized]:
        """What the tokenizer makes of a row of these texts."""
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
                f"expected texts of whole characters, got half of a surrogate pair in {broken[0][:60]!r}; fix: that text"
            ) from None
        extras = [name for name in encoded if name != "input_ids" and name in self._accepted]

        def row(i: int) -> _Tokenized:
            return _Tokenized(
                encoded["input_ids"][i], {n: encoded[n][i] for n in extras}, encoded.encodings[i] if fast else None
            )

        return row

    def _fitted(self, parts: list[_Tokenized], filled: list[tuple[str, list[tuple[str, int, int]]]]) -> Inputs:
        """The parts in a row, with as much of the document, and then of the query, left out as is too long."""
        ids = [token for part in parts for token in part.ids]
        names = parts[0].extras if parts else {}
        extras = {name: [value for part in parts for value in part.extras[name]] for name in names}
        surplus = len(ids) - self._template.max_length
        if surplus <= 0:
            return Inputs(ids, extras)
        spans = [one for _, one in filled]
        of_field = [name for part in self._named(parts, spans) for name in part]
        document = [i for i, name in enumerate(of_field) if name == "document"]
        query = [i for i, name in enumerate(of_field) if name == "query"]
        if surplus > len(document) + len(query):
            raise RerankerError(
                f"reranker.template.max_length: expected more than the {len(ids) - len(document) - len(query)} tokens of the "
                f"template itself, got {self._template.max_length}; fix: a larger max_length"
            )
        gone = set(document[max(0, len(document) - surplus) :])
        of_query = surplus - len(gone)
        gone |= set(query[len(query) - of_query :]) if of_query else set()
        kept = [i for i in range(len(ids)) if i not in gone]
        return Inputs(
            [ids[i] for i in kept],
            {name: [values[i] for i in kept] for name, values in extras.items()},
            surplus - of_query,
            of_query,
        )

    def _named(self, parts: list[_Tokenized], spans: list[list[tuple[str, int, int]]]) -> Iterator[list[str | None]]:
        """The field that each token lies in as a whole, part by part; None for tokens of the template."""
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
                        for i in _run(part.encoding, 0 if self._template.pieces else which, first, last):
                            names[i] = name
            yield names


def _run(encoding: Any, segment: int, first: int, last: int) -> range:
    """The tokens of a field from the ``first`` to the ``last`` character of a segment, without a gap.

    Some tokenizers give white space, accents or emoji empty places; what has one belongs to the tokens around it.
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


@dataclass(frozen=True)
class _Tokenized:
    ids: list[int]
    extras: Mapping[str, list[int]]
    encoding: Any  # of the package tokenizers; None for a tokenizer without one
