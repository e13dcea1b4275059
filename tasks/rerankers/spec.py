"""A reranker as a task file describes it: where it comes from, what it reads, and which of its outputs is the score.

Values only: nothing in this file reads a checkpoint or imports torch.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DTYPE_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
Source = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]  # a folder or a hub id

_FIELD = re.compile(r"\{(query|document)\}")
_MEANT_AS_FIELD = re.compile(r"\{([ \w.-]+)\}")

Span = tuple[str, int, int]  # name of a field, first character, end


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Template(_Spec):
    """How a query-document pair becomes the model's input: two segments, or a list of pieces.

    Only `{query}` and `{document}` are replaced, literally.
    """

    first: str = "{query}"
    """First segment. The tokenizer joins the two as it joins a text pair, with its special tokens."""

    second: str = "{document}"
    """Second segment; empty for a single text."""

    pieces: tuple[str, ...] = ()
    """Replaces `first` and `second`: texts that are tokenized separately, without special tokens except those written
    out in them, and then concatenated, as prompts for language models are built."""

    max_length: int = Field(default=512, ge=8, strict=True)
    """Maximum number of tokens per pair; longer documents are truncated."""

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if self.pieces and (self.first, self.second) != ("{query}", "{document}"):
            raise ValueError("expected first and second, or pieces, got both; fix: remove one of them")
        found = [name for segment in self.segments for name in _MEANT_AS_FIELD.findall(segment)]
        unknown = [name for name in found if name not in ("query", "document")]
        if unknown:
            raise ValueError(
                f"expected only the fields {{query}} and {{document}}, got {{{unknown[0]}}}; fix: write the text itself instead"
            )
        if "query" not in found or found.count("document") != 1:
            raise ValueError(
                f"expected {{query}} and, once, {{document}}, got {found or 'neither'}; "
                f'fix: first: "{{query}}", second: "{{document}}"'
            )
        return self

    @property
    def segments(self) -> tuple[str, ...]:
        """The texts to tokenize: the pieces, or the two segments without an empty second one."""
        return self.pieces or tuple(part for part in (self.first, self.second) if part)

    def fill(self, query: str, document: str) -> tuple[str, ...]:
        """The segments of one pair."""
        return tuple(text for text, _ in self.fill_with_spans(query, document))

    def fill_with_spans(self, query: str, document: str) -> list[tuple[str, list[Span]]]:
        """The segments of one pair, each with the positions of the query and the document in it."""
        values = {"query": query, "document": document}
        filled = []
        for segment in self.segments:
            text, spans = "", []
            for i, part in enumerate(_FIELD.split(segment)):  # texts alternate with names of fields
                if i % 2:
                    spans.append((part, len(text), len(text) + len(values[part])))
                text += values[part] if i % 2 else part
            filled.append((text, spans))
        return filled


class LogitReadout(_Spec):
    """The single logit of a classifier."""

    kind: Literal["logit"] = "logit"


class LabelsReadout(_Spec):
    """The logit of one label of a classifier minus the logit of another; labels are named as in `id2label`."""

    kind: Literal["labels"]

    positive: str
    """Label that means relevant."""

    negative: str | None = None
    """Label whose logit is subtracted; without it the score is the logit of `positive`."""

    @model_validator(mode="after")
    def _two_labels(self) -> Self:
        if self.positive == self.negative:
            raise ValueError(f"expected two labels, got {self.positive!r} twice; fix: leave negative out")
        return self


class YesNoReadout(_Spec):
    """The logit of one token of a language model minus the logit of another.

    A decoder's logits are read at the last token, an encoder-decoder's at the decoder's first step. Tokens are spelled as
    in the vocabulary (`yes`, or with SentencePiece's mark `▁true`).
    """

    kind: Literal["yes-no"]

    yes: str
    """Token that means relevant."""

    no: str | None = None
    """Token whose logit is subtracted; without it the score is the logit of `yes`."""

    @model_validator(mode="after")
    def _two_tokens(self) -> Self:
        if self.yes == self.no:
            raise ValueError(f"expected two tokens, got {self.yes!r} twice; fix: leave no out")
        return self


ScoreReadout = Annotated[LogitReadout | LabelsReadout | YesNoReadout, Field(discriminator="kind")]


def is_language_model(readout: ScoreReadout) -> bool:
    """Whether the score is read from the logits of tokens."""
    return isinstance(readout, YesNoReadout)


class RerankerSpec(_Spec):
    """A reranker: a base, optionally an adapter, and how both read a pair."""

    base: Source
    """Folder in hub layout, or hub id, of the model."""

    adapter: Source | None = None
    """Folder in hub layout, or hub id, of an adapter of this base."""

    revision: str | None = None
    """Commit or tag of the base on the hub."""

    adapter_revision: str | None = None
    """Commit or tag of the adapter on the hub."""

    template: Template = Template()
    """How a pair becomes the model's input."""

    readout: ScoreReadout = Field(default=LogitReadout())
    """Which output is the score."""

    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32"
    """Precision of weights and activations."""

    attention: Literal["sdpa", "eager", "flash_attention_2"] | None = None
    """Attention implementation; by default the best that the architecture supports. Records name the one that was used."""

    device_map: Literal["auto"] | None = None
    """`auto` spreads the model over several GPUs."""
