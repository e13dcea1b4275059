"""The static diagram as PNG and SVG: the nodes and flows of the interactive one, drawn with matplotlib."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coterie.leaderboard.display.drawing import own_style
from coterie.leaderboard.reports.flow import COLOURS, Diagram, Node

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path as Outline

NODE = 0.012  # half a node's width, in columns
_TEXT: dict[str, Any] = {"parse_math": False, "color": "#222222"}  # a name with dollar signs is not a formula


def draw(diagram: Diagram, title: str, png: Path, svg: Path) -> None:
    """Write both files on a white background; the bytes are reproducible."""
    with own_style():
        _draw(diagram, title, png, svg)


def _draw(diagram: Diagram, title: str, png: Path, svg: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(
        figsize=(3 + 3.2 * len(diagram.columns), max(4.0, 0.26 * diagram.fullest + 1.6)), layout="constrained"
    )
    axes = figure.subplots()
    _flows(axes, diagram)
    _nodes(axes, diagram)
    for i, heading in enumerate(diagram.columns):
        axes.text(i, -0.03, heading, ha="center", va="bottom", fontsize=11, weight="bold", **_TEXT)
    axes.set_xlim(-0.25, len(diagram.columns) - 1 + 0.75)
    axes.set_ylim(1.02, -0.1)
    axes.axis("off")
    figure.suptitle(title, fontsize=11, wrap=True, **_TEXT)
    events = {flow.event for flow in diagram.flows}
    handles = [Patch(color=colour, alpha=0.6, label=event) for event, colour in COLOURS.items() if event in events]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)
    figure.savefig(png, dpi=150, facecolor="white", format="png")
    figure.savefig(svg, facecolor="white", format="svg", metadata={"Date": None})


def _flows(axes: Axes, diagram: Diagram) -> None:
    from matplotlib.patches import PathPatch

    # the height of each node that is already taken by flows that leave it, and by flows that enter it
    left: dict[int, float] = defaultdict(float)
    entered: dict[int, float] = defaultdict(float)
    for flow in diagram.flows:
        source, target, width = (
            diagram.nodes[flow.source],
            diagram.nodes[flow.target],
            flow.neurons * diagram.per_neuron,
        )
        band = _band(source, target, source.top + left[flow.source], target.top + entered[flow.target], width)
        axes.add_patch(PathPatch(band, facecolor=COLOURS[flow.event], alpha=0.55, linewidth=0))
        left[flow.source] += width
        entered[flow.target] += width


def _band(source: Node, target: Node, start: float, end: float, width: float) -> Outline:
    """A band of constant width from the right side of one node to the left side of another, horizontal at both ends."""
    from matplotlib.path import Path as Outline

    x, y = source.column + NODE, target.column - NODE
    middle = (x + y) / 2
    upper = [(x, start), (middle, start), (middle, end), (y, end)]
    lower = [(y, end + width), (middle, end + width), (middle, start + width), (x, start + width)]
    curve = [Outline.CURVE4] * 3
    return Outline([*upper, *lower, (x, start)], [Outline.MOVETO, *curve, Outline.LINETO, *curve, Outline.CLOSEPOLY])


def _nodes(axes: Axes, diagram: Diagram) -> None:
    from matplotlib.patches import Rectangle

    for node in diagram.nodes:
        axes.add_patch(
            Rectangle((node.column - NODE, node.top), 2 * NODE, node.bottom - node.top, color=node.colour, linewidth=0)
        )
        middle = (node.top + node.bottom) / 2
        axes.text(node.column + 2 * NODE, middle, node.label, va="center", fontsize=8, **_TEXT)
