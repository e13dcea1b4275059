"""The card of a coalition, as `coterie inspect` writes it to JSON: numbers with their controls, and texts as evidence."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from coterie.tracking.record import Strict

SCHEMA_VERSION: Final = 1
Text = Annotated[str, Field(max_length=20_000)]  # a document's query, a token, a name
Index = Annotated[int, Field(ge=0, lt=10**7)]


class Against(Strict):
    """A value of the coalition, compared with random sets of the same size."""

    value: float
    """The coalition's value."""

    low: float | None = None
    """Lower end of its interval over queries."""

    high: float | None = None
    """Upper end of its interval over queries."""

    reason: Text | None = None
    """Why the interval is missing; None if it is not."""

    control: float
    """Mean value of the random sets."""

    share_of_controls: float
    """Share of the random sets with a value at least as large."""


class Token(Strict):
    """One token of a text."""

    text: Text
    """The token."""

    firing: float
    """How strongly the coalition fires at it, in standard deviations."""


class TokenKind(Strict):
    """A token of the vocabulary."""

    text: Text
    """The token."""

    firing: float
    """The coalition's mean firing over all its occurrences in held-out pairs."""

    occurrences: int
    """Number of occurrences."""


class PairExample(Strict):
    """A held-out pair of query and document."""

    query_id: Text
    """Id of the query."""

    document_id: Text
    """Id of the document."""

    query: Text
    """Text of the query."""

    firing: float
    """The coalition's mean firing over the tokens."""

    score: float
    """The reranker's score with nothing ablated."""

    objective: float | None
    """What the reranker was trained to predict for the pair, if known."""

    tokens: list[Token]
    """Tokens as the reranker reads them."""


class Signal(Strict):
    """How well the coalition's firing follows one classical signal, within queries."""

    name: Text
    """Name of the signal."""

    r2: Against | None
    """Share of the signal's variance that the firing explains."""

    correlation: float | None
    """Correlation of signal and firing."""

    reason: Text | None = None
    """Why R2 is missing; None if it is not."""


class QueryExample(Strict):
    """A held-out query."""

    query_id: Text
    """Id of the query."""

    query: Text
    """Text of the query."""

    ndcg_drop: float
    """nDCG@10 that it loses when the coalition is ablated."""


class Card(Strict):
    """One coalition."""

    number: Index
    """Number of the coalition in its record, from 0."""

    members: list[Index]
    """Neurons of the coalition."""

    evaluated: bool
    """Whether the protocol evaluates it."""

    silent_members: int
    """Number of members whose activation does not vary over held-out tokens."""

    agreement: Against | None
    """Mean correlation of two members over tokens."""

    by_token: Against | None
    """Share of the firing's variance over tokens that the vocabulary token explains."""

    best_signal: Signal | None
    """The signal with the largest R2."""

    best_r2: Against | None
    """The largest R2 over signals; each random set has its own best signal."""

    signals: list[Signal]
    """All signals."""

    effect: Against
    """Mean drop of the score when the coalition is ablated, f(C), in standard deviations of the score."""

    ndcg_drop: Against | None
    """nDCG@10 lost when the coalition is ablated."""

    ndcg_reason: Text | None
    """Why the nDCG@10 drop is missing; None if it is not."""

    loses_most: list[QueryExample]
    """Queries that lose the most nDCG@10 without the coalition."""

    gains_most: list[QueryExample]
    """Queries that gain the most nDCG@10 without it."""

    tokens_high: list[TokenKind]
    """Tokens at which it fires most."""

    tokens_low: list[TokenKind]
    """Tokens at which it fires least."""

    fires_most: list[PairExample]
    """Pairs on which it fires most."""

    fires_least: list[PairExample]
    """Pairs on which it fires least."""


class Inspection(Strict):
    """The cards of one record."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this schema."""

    task_name: Text
    """Name of the task."""

    method_name: Text
    """Name of the method."""

    method: Text
    """The method with its parameters."""

    seed: int
    """Seed of the record."""

    record: Text
    """Digest of the record's identity."""

    task_fingerprint: Text
    """Fingerprint of the task."""

    layer: int
    """Layer of the reranker."""

    n_players: Index
    """Number of neurons in the layer."""

    players: Text
    """What the players are, e.g. neurons."""

    heldout_queries: int
    """Number of held-out queries."""

    heldout_pairs: int
    """Number of held-out pairs."""

    heldout_tokens: int
    """Number of tokens in these pairs."""

    tokens_are: Text
    """Which tokens these are."""

    controls: int
    """Number of random sets per size."""

    warnings: list[Text]
    """What to consider when reading the cards."""

    cards: list[Card]
    """One card per coalition."""

    @model_validator(mode="after")
    def _sound(self) -> Inspection:
        if len({card.number for card in self.cards}) != len(self.cards):
            raise ValueError("cards: expected each coalition once")
        if max((i for card in self.cards for i in card.members), default=-1) >= self.n_players:
            raise ValueError(f"cards: expected members below {self.n_players}")
        return self
