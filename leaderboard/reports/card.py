"""The card of a coalition, as it is written to JSON: numbers with their controls, and the texts they are about."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from coterie.tracking.record import Strict

SCHEMA_VERSION: Final = 1
Text = Annotated[str, Field(max_length=20_000)]  # a document's query, a token, a name
Index = Annotated[int, Field(ge=0, lt=10**7)]


class Against(Strict):
    """A value of the coalition beside that of its size-matched random sets, with an interval over queries or why not."""

    value: float
    low: float | None = None
    high: float | None = None
    reason: Text | None = None
    control: float  # mean over the random sets
    share_of_controls: float  # of the random sets, how many have a value at least as large


class Token(Strict):
    """One token of a text and how strongly the coalition fires at it, in standard deviations."""

    text: Text
    firing: float


class TokenKind(Strict):
    """A token of the vocabulary: its mean firing over all its occurrences on held-out pairs."""

    text: Text
    firing: float
    occurrences: int


class ShownPair(Strict):
    """A held-out pair with its tokens as the reranker reads them; ``objective`` is what it was trained for, if anything."""

    query_id: Text
    document_id: Text
    query: Text
    firing: float  # mean over the tokens
    score: float  # of the reranker, nothing ablated
    objective: float | None
    tokens: list[Token]


class Signal(Strict):
    """How well the coalition's firing follows one classical signal, within queries."""

    name: Text
    r2: Against | None
    correlation: float | None
    reason: Text | None = None  # why there is no R2


class ShownQuery(Strict):
    """A held-out query and the nDCG@10 that it loses when the coalition is ablated."""

    query_id: Text
    query: Text
    ndcg_drop: float


class Card(Strict):
    """One coalition. ``number`` counts from 0 in the record's order; ``evaluated`` says whether the protocol judges it."""

    number: Index
    members: list[Index]
    evaluated: bool
    silent_members: int  # whose activation does not vary over held-out tokens
    agreement: Against | None  # mean correlation of two members over tokens
    by_token: Against | None  # share of the firing's variance that is told by which token it is
    best_signal: Signal | None
    best_r2: Against | None  # the largest R2 over signals; each random set has its own best signal
    signals: list[Signal]
    effect: Against  # f(C), standard deviations of the score
    ndcg_drop: Against | None
    ndcg_reason: Text | None
    loses_most: list[ShownQuery]
    gains_most: list[ShownQuery]
    tokens_high: list[TokenKind]
    tokens_low: list[TokenKind]
    fires_most: list[ShownPair]
    fires_least: list[ShownPair]


class Inspection(Strict):
    """The cards of one record, and what they were made from."""

    schema_version: Literal[1] = SCHEMA_VERSION
    task_name: Text
    method_name: Text
    method: Text  # with its parameters
    seed: int
    record: Text  # the record's identity digest
    task_fingerprint: Text
    layer: int
    n_players: Index
    players: Text
    heldout_queries: int
    heldout_pairs: int
    heldout_tokens: int
    tokens_are: Text  # which tokens activations are known of
    controls: int
    warnings: list[Text]
    cards: list[Card]

    @model_validator(mode="after")
    def _sound(self) -> Inspection:
        if len({card.number for card in self.cards}) != len(self.cards):
            raise ValueError("cards: expected each coalition once")
        if max((i for card in self.cards for i in card.members), default=-1) >= self.n_players:
            raise ValueError(f"cards: expected members below {self.n_players}")
        return self
