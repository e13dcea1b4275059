"""The report of `coterie transitions`, as written to transitions.json. Anybody may have written it: everything is checked."""

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
    """One coalition."""

    number: Index
    """Number of the coalition among all that the method proposed, as in its record."""

    members: Annotated[list[Index], Field(min_length=1)]
    """Neurons of the coalition."""


class LayerCoalitions(Strict):
    """The coalitions of one layer."""

    layer: Index
    """The layer."""

    n_players: Index
    """Number of neurons in the layer."""

    coalitions: list[Coalition]
    """Coalitions of at least the smallest size."""

    left_out: Index
    """Number of smaller coalitions."""

    from_record: bool
    """Whether the coalitions are from the record of a finished cell."""

    @model_validator(mode="after")
    def _sound(self) -> LayerCoalitions:
        if len({c.number for c in self.coalitions}) != len(self.coalitions):
            raise ValueError(f"layer {self.layer}: expected each coalition's number once")
        if max((max(c.members) for c in self.coalitions), default=-1) >= self.n_players:
            raise ValueError(f"layer {self.layer}: expected members below {self.n_players}")
        return self


class LinkRow(Strict):
    """A coalition and its partner; see `coterie.benchmark.transitions.events.events`."""

    source: Index | None
    """Number of the coalition in the earlier layer."""

    target: Index | None
    """Number of the coalition in the later layer."""

    mass: Annotated[float, Field(ge=0, le=1e12)]
    """Mass of the link between them."""

    alpha: Share
    """The link's share of the source's mass."""

    beta: Share
    """The link's share of the target's mass."""

    matched: bool
    """Whether the link is part of the matching."""

    event: Event
    """What happens to the coalition."""

    @property
    def leads_on(self) -> bool:
        """Whether the link joins a source and a target, as all events but vanish and emerge do."""
        return self.event not in ("vanish", "emerge")


class Count(Strict):
    """How often an event occurs. Shares are of the sources or, for `emerge`, of the targets; None if there are none."""

    event: Event
    """The event."""

    count: Index
    """Number of coalitions."""

    share: Share | None
    """Their share."""

    chance: Share | None
    """Mean share among random coalitions of the same sizes."""

    chance_low: Share | None
    """Lower end of the draws' 95 % range."""

    chance_high: Share | None
    """Upper end of the draws' 95 % range."""


class LayerPair(Strict):
    """What becomes of the coalitions of one layer in the next."""

    source_layer: Index
    """The earlier layer."""

    target_layer: Index
    """The later layer."""

    alpha: float
    """Threshold of a large alpha."""

    beta: float
    """Threshold of a large beta."""

    counts: list[Count]
    """One count per event: persist, split, merge, vanish, emerge."""

    sources: list[LinkRow]
    """One row per coalition of the earlier layer, in order."""

    targets: list[LinkRow]
    """One row per coalition of the later layer, in order."""

    def check(self, before: LayerCoalitions, after: LayerCoalitions) -> None:
        """Raise `ValueError` if a row names a coalition that these layers lack, or the counts do not cover the events."""
        if (self.source_layer, self.target_layer) != (before.layer, after.layer):
            raise ValueError(f"expected the pair of layers {before.layer} and {after.layer}")
        if [row.event for row in self.counts] != [*SOURCE_EVENTS, "emerge"]:
            raise ValueError("counts: expected persist, split, merge, vanish and emerge, in this order")
        known = {c.number for c in before.coalitions}, {c.number for c in after.coalitions}
        if [row.source for row in self.sources] != [c.number for c in before.coalitions]:
            raise ValueError("sources: expected one row per coalition, in order")
        if [row.target for row in self.targets] != [c.number for c in after.coalitions]:
            raise ValueError("targets: expected one row per coalition, in order")
        for rows, events in ((self.sources, SOURCE_EVENTS), (self.targets, TARGET_EVENTS)):
            for row in rows:
                if row.event not in events:
                    raise ValueError(f"expected one of {', '.join(events)}, got {row.event}")
                if row.leads_on and (row.mass <= 0 or row.source is None or row.target is None):
                    raise ValueError(f"{row.event}: expected a source, a target and a mass above 0")
                if not {row.source} <= {None, *known[0]} or not {row.target} <= {None, *known[1]}:
                    raise ValueError(f"{row.event}: expected numbers of coalitions of these layers")


class TransitionsReport(Strict):
    """The options and the results of `coterie transitions`."""

    schema_version: Literal[1] = 1
    """Version of this schema."""

    coterie_version: Text
    """Version of coterie that wrote the report."""

    task_name: Text
    """Name of the task."""

    task_fingerprints: list[Text]
    """Fingerprint of the task at each layer."""

    method: Text
    """The method with its parameters."""

    code_hash: Text
    """Hash of the method's code."""

    budget: int
    """Evaluations that the method may spend per layer."""

    seed: int
    """Seed of the method."""

    all_pairs: bool
    """Whether links outside the matching count too."""

    smallest: int
    """Size of the smallest coalitions that count."""

    draws: int
    """Number of draws of random coalitions."""

    warnings: list[Text]
    """What to consider when reading the report."""

    layers: Annotated[list[LayerCoalitions], Field(min_length=1, max_length=200)]
    """The layers, in order."""

    pairs: list[LayerPair]
    """One pair per two adjacent layers."""

    @model_validator(mode="after")
    def _sound(self) -> TransitionsReport:
        if len(self.task_fingerprints) != len(self.layers):
            raise ValueError("task_fingerprints: expected one per layer")
        if len(self.pairs) != len(self.layers) - 1:
            raise ValueError("pairs: expected one per two adjacent layers")
        for pair, (before, after) in zip(self.pairs, pairwise(self.layers), strict=True):
            pair.check(before, after)
        return self
