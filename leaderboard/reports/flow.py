"""The layout of a report's diagram before it is drawn: nodes in columns and flows between them, in neurons.

There is one column per layer. A coalition's neurons flow to the targets of its events, in proportion to mass; those of a
vanishing coalition flow to the node "vanish" in the next column, those of an emerging one come from the node "emerge" in the
column before. A node is as high as its inflow or outflow, whichever is larger. All but the largest `show` coalitions of a
layer share one node, "others".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from coterie.leaderboard.reports.transitions import Event, LayerCoalitions, LayerPair, TransitionsReport

Kind = Literal["coalition", "others", "vanish", "emerge"]
Key = tuple[int, Kind, int]  # column, kind, number
GAP = 0.35  # share of the fullest column's height between its nodes

# Okabe & Ito's palette, which colour-blind readers can distinguish, on white and on black; grey for what vanishes
COLOURS: dict[Event, str] = {
    "persist": "#0072B2",
    "split": "#E69F00",
    "merge": "#009E73",
    "vanish": "#8C8C8C",
    "emerge": "#CC79A7",
}
NODE_COLOUR = "#5B6770"
MEANINGS: dict[Event, str] = {
    "persist": "gives a large share of its mass to one coalition and supplies a large share of that coalition's mass",
    "split": "supplies a large share of a coalition's mass, but with a small share of its own",
    "merge": "gives a large share of its mass to a coalition, but supplies a small share of that coalition's mass",
    "vanish": "has no successor in the next layer",
    "emerge": "has no predecessor in the layer before",
}


@dataclass(frozen=True)
class Node:
    """A node of the diagram."""

    column: int
    """Its column, from 0 on the left."""

    kind: Kind
    """What it represents."""

    label: str
    """Text next to it."""

    text: str
    """Text under the pointer."""

    top: float
    """Its upper end, from 0 at the top of the diagram to 1 at the bottom."""

    bottom: float
    """Its lower end."""

    @property
    def colour(self) -> str:
        """Its colour: that of the event for vanish and emerge."""
        return COLOURS[self.kind] if self.kind in ("vanish", "emerge") else NODE_COLOUR


@dataclass(frozen=True)
class Flow:
    """Neurons that flow from one node to another."""

    source: int
    """Index of the node that it leaves."""

    target: int
    """Index of the node that it enters."""

    neurons: float
    """Number of neurons."""

    event: Event
    """What happens to them."""

    text: str
    """Text under the pointer."""


@dataclass(frozen=True)
class Diagram:
    """A diagram to draw."""

    columns: tuple[str, ...]
    """Heading of each column."""

    nodes: tuple[Node, ...]
    """Nodes column by column, from top to bottom."""

    flows: tuple[Flow, ...]
    """Flows by source, then target: in this order they leave and enter nodes, from top to bottom."""

    per_neuron: float
    """Height of one neuron as a share of the diagram's height, for nodes and flows."""

    note: str
    """What is not shown; empty if everything is."""

    @property
    def fullest(self) -> int:
        """Number of nodes in the column with the most."""
        return max((sum(node.column == i for node in self.nodes) for i in range(len(self.columns))), default=0)


def diagram(report: TransitionsReport, show: int) -> Diagram:
    """Lay out a report, with at most `show` coalitions per layer."""
    kinds = [_largest(layer, show) for layer in report.layers]
    flows = list(_flows(report, kinds))
    heights = _heights(flows)
    columns = _ordered(len(report.layers), heights, flows)
    fullest = max((sum(heights[key] for key in column) for column in columns), default=0) or 1
    per_neuron = (1 - GAP) / fullest
    nodes: dict[Key, Node] = {}
    for column in columns:
        room = 1 - per_neuron * sum(heights[key] for key in column)
        top = 0.0
        for key in column:
            bottom = top + per_neuron * heights[key]
            nodes[key] = Node(key[0], key[1], *_texts(report, kinds, key), top, bottom)
            top = bottom + room / max(len(column) - 1, 1)
    places = {key: i for i, key in enumerate(nodes)}
    left = [max(len(layer.coalitions) - show, 0) for layer in report.layers]
    return Diagram(
        columns=tuple(f"layer {layer.layer}: {len(layer.coalitions)} coalitions" for layer in report.layers),
        nodes=tuple(nodes.values()),
        flows=tuple(
            Flow(places[s], places[t], neurons, event, text)
            for s, t, neurons, event, text in sorted(flows, key=lambda f: (places[f[0]], places[f[1]]))
        ),
        per_neuron=per_neuron,
        note=f"Only the {show} largest coalitions per layer are shown separately." if any(left) else "",
    )


_Flow = tuple[Key, Key, float, Event, str]
_Sizes = dict[int | None, int]  # neurons by a coalition's number
_ENDS = ("vanish", "emerge")


def _largest(layer: LayerCoalitions, show: int) -> dict[int, Kind]:
    """Number of each coalition -> the kind of node that shows it."""
    order = sorted(layer.coalitions, key=lambda c: (-len(c.members), c.number))
    return {c.number: "coalition" if rank < show else "others" for rank, c in enumerate(order)}


def _flows(report: TransitionsReport, kinds: list[dict[int, Kind]]) -> Iterator[_Flow]:
    """The flows of every pair of layers; those of the same event between the same two nodes are combined."""
    for column, pair in enumerate(report.pairs):
        before, after = (_sizes(layer) for layer in report.layers[column : column + 2])
        total: dict[tuple[Key, Key, Event], float] = defaultdict(float)
        texts: dict[tuple[Key, Key, Event], list[str]] = defaultdict(list)
        for source, target, neurons, event, text in _single_flows(pair, before, after):
            start: Key = (column, "emerge", 0) if source is None else _key(column, source, kinds[column])
            end: Key = (column + 1, "vanish", 0) if target is None else _key(column + 1, target, kinds[column + 1])
            total[start, end, event] += neurons
            texts[start, end, event].append(text)
        for (start, end, event), neurons in total.items():
            found = texts[start, end, event]
            yield start, end, neurons, event, found[0] if len(found) == 1 else f"{event}: {len(found)} coalitions"


def _single_flows(
    pair: LayerPair, before: _Sizes, after: _Sizes
) -> Iterator[tuple[int | None, int | None, float, Event, str]]:
    """The links between coalitions, and what vanishes (no target) and emerges (no source), each with its neurons."""
    links = {(row.source, row.target): row for row in (*pair.sources, *pair.targets) if row.event not in _ENDS}
    outgoing: dict[int | None, float] = defaultdict(float)
    for row in links.values():
        outgoing[row.source] += row.mass
    ends = [row for row in (*pair.sources, *pair.targets) if row.event in _ENDS]
    for row in (*links.values(), *ends):
        source = None if row.event == "emerge" else row.source
        target = None if row.event == "vanish" else row.target
        neurons = after[target] if source is None else before[source]
        share = 1.0 if row.event in _ENDS else row.mass / outgoing[source]
        yield source, target, neurons * share, row.event, f"{row.event}: alpha {row.alpha:.2f}, beta {row.beta:.2f}"


def _sizes(layer: LayerCoalitions) -> _Sizes:
    return {c.number: len(c.members) for c in layer.coalitions}


def _key(column: int, number: int, kinds: dict[int, Kind]) -> Key:
    return (column, "coalition", number) if kinds[number] == "coalition" else (column, "others", 0)


def _heights(flows: list[_Flow]) -> dict[Key, float]:
    """A node's height in neurons: its inflow or outflow, whichever is larger."""
    into: dict[Key, float] = defaultdict(float)
    out: dict[Key, float] = defaultdict(float)
    for source, target, neurons, _event, _text in flows:
        out[source] += neurons
        into[target] += neurons
    return {key: max(into.get(key, 0.0), out.get(key, 0.0)) for key in {**out, **into}}


def _ordered(count: int, heights: dict[Key, float], flows: list[_Flow]) -> list[list[Key]]:
    """Order the nodes of each column so that few flows cross: emerging ones first, the others in their sources' order.

    The node "emerge" comes first in its column, "vanish" last.
    """
    rank: dict[Kind, int] = {"emerge": 0, "coalition": 1, "others": 2, "vanish": 3}
    goes_on = {source for source, _, _, event, _ in flows if event not in _ENDS}
    columns: list[list[Key]] = []
    place: dict[Key, float] = {}
    for column in range(count):
        pull: dict[Key, list[tuple[float, float]]] = defaultdict(list)
        for source, target, neurons, event, _text in flows:
            if target[0] == column and event not in _ENDS:
                pull[target].append((place[source], neurons))
        mean = {key: sum(p * n for p, n in found) / sum(n for _, n in found) for key, found in pull.items()}

        def order(key: Key, mean: dict[Key, float] = mean) -> tuple[float, ...]:
            return rank[key[1]], mean.get(key, -1.0), key not in goes_on, -heights[key], key[2]

        columns.append(sorted((key for key in heights if key[0] == column), key=order))
        place |= {key: i / len(columns[-1]) for i, key in enumerate(columns[-1])}
    return columns


def _texts(report: TransitionsReport, kinds: list[dict[int, Kind]], key: Key) -> tuple[str, str]:
    """A node's label and the text under the pointer."""
    column, kind, number = key
    layer = report.layers[column]
    if kind in _ENDS:
        pair = report.pairs[column if kind == "emerge" else column - 1]
        count = next(c.count for c in pair.counts if c.event == kind)
        side = f"in layer {pair.target_layer}" if kind == "emerge" else f"after layer {pair.source_layer}"
        return f"{kind} {side}: {count}", MEANINGS["emerge" if kind == "emerge" else "vanish"]
    if kind == "others":
        rest = [c for c in layer.coalitions if kinds[column][c.number] == "others"]
        return f"{len(rest)} others", f"layer {layer.layer}: {len(rest)} smaller coalitions"
    size = next(len(c.members) for c in layer.coalitions if c.number == number)
    return f"{number}", f"layer {layer.layer}, coalition {number}: {size} neurons"
