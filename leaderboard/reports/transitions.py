"""What ``coterie transitions`` found, as it is written to transitions.json. It may come from anybody: it is checked whole."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from coterie.tracking.record import Strict

Event = Literal["persist", "split", "merge", "vanish", "emerge"]
SOURCE_EVENTS: Final[tuple[Event, ...]] = ("persist", "split", "merge", "vanish")
TARGET_EVENTS: Final[tuple[Event, ...]] = ("persist", "split", "merge", "emerge")

Text = Annotated[str, Field(max_length=1000)]
Index = Annotated[int, Field(ge=0, lt=10**7)]
Share = Annotated[float, Field(ge=0, le=1.0001)]


class Coalition(Strict):
    """One coalition; ``number`` is its place among all that the method named, as in its record."""

    number: Index
    members: Annotated[list[Index], Field(min_length=1)]


class LayerCoalitions(Strict):
    """A layer's coalitions of at least the smallest size. ``from_record`` where a finished cell had them."""

    layer: Index
    n_players: Index
    coalitions: list[Coalition]
    left_out: Index
    from_record: bool

    @model_validator(mode="after")
    def _sound(self) -> LayerCoalitions:
        if len({c.number for c in self.coalitions}) != len(self.coalitions):
            raise ValueError(f"layer {self.layer}: expected each coalition's number once")
        if max((max(c.members) for c in self.coalitions), default=-1) >= self.n_players:
            raise ValueError(f"layer {self.layer}: expected members below {self.n_players}")
        return self


class LinkRow(Strict):
    """A coalition and its partner by their numbers, see :func:`coterie.benchmark.transitions.events.events`."""

    source: Index | None
    target: Index | None
    mass: Annotated[float, Field(ge=0, le=1e12)]
    alpha: Share
    beta: Share
    matched: bool
    event: Event

    @property
    def leads_on(self) -> bool:
        """Whether it joins a source and a target: all but what vanishes and emerges."""
        return self.event not in ("vanish", "emerge")


class Count(Strict):
    """How often an event is, and how often in random coalitions of the same sizes: mean and 95 % range over the draws.

    ``share`` and its like are of the sources, for ``emerge`` of the targets; null where there are none.
    """

    event: Event
    count: Index
    share: Share | None
    chance: Share | None
    chance_low: Share | None
    chance_high: Share | None


class LayerPair(Strict):
    """What becomes of the coalitions of one layer in the next, with the thresholds in force."""

    source_layer: Index
    target_layer: Index
    alpha: float
    beta: float
    counts: list[Count]
    sources: list[LinkRow]
    targets: list[LinkRow]

    def check(self, before: LayerCoalitions, after: LayerCoalitions) -> None:
        """Raise ``ValueError`` where a row names what these layers lack, or counts do not cover the events."""
        if (self.source_layer, self.target_layer) != (before.layer, after.layer):
            raise ValueError(f"expected the pair of layers {before.layer} and {after.layer}")
        if [row.event for row in self.counts] != [*SOURCE_EVENTS, "emerge"]:
            raise ValueError("counts: expected persist, split, merge, vanish and emerge, in this order")
        known = {c.number for c in before.coalitions}, {c.number for c in after.coalitions}
        if [row.source for row in self.sources] != [c.number for c in before.coalitions]:
            raise ValueError("sources: expected a row for each coalition, in order")
        if [row.target for row in self.targets] != [c.number for c in after.coalitions]:
            raise ValueError("targets: expected a row for each coalition, in order")
        for rows, events in ((self.sources, SOURCE_EVENTS), (self.targets, TARGET_EVENTS)):
            for row in rows:
                if row.event not in events:
                    raise ValueError(f"expected one of {', '.join(events)}, got {row.event}")
                if row.leads_on and (row.mass <= 0 or row.source is None or row.target is None):
                    raise ValueError(f"{row.event}: expected a source, a target and a mass above 0")
                if not {row.source} <= {None, *known[0]} or not {row.target} <= {None, *known[1]}:
                    raise ValueError(f"{row.event}: expected numbers of coalitions of these layers")


class TransitionsReport(Strict):
    """Everything that was asked, and what came out. ``task_fingerprints`` are the task's at each layer."""

    schema_version: Literal[1] = 1
    coterie_version: Text
    task_name: Text
    task_fingerprints: list[Text]
    method: Text
    code_hash: Text
    budget: int
    seed: int
    all_pairs: bool
    smallest: int
    draws: int
    warnings: list[Text]
    layers: Annotated[list[LayerCoalitions], Field(min_length=1, max_length=200)]
    pairs: list[LayerPair]

    @model_validator(mode="after")
    def _sound(self) -> TransitionsReport:
        if len(self.task_fingerprints) != len(self.layers):
            raise ValueError("task_fingerprints: expected one for each layer")
        if len(self.pairs) != len(self.layers) - 1:
            raise ValueError("pairs: expected one for each two adjacent layers")
        for pair, (before, after) in zip(self.pairs, pairwise(self.layers), strict=True):
            pair.check(before, after)
        return self
