"""Coalitions across layers as a plotly Sankey figure in plain JSON, built without importing plotly.

The static picture of `coterie transitions` draws the same `Diagram` with matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from coterie.leaderboard.reports.flow import COLOURS, Diagram

_EDGE = 0.01  # plotly treats a position of 0 as missing, and centres nodes on their position


def sankey(diagram: Diagram) -> dict[str, Any]:
    """The figure, for any background, in colours that colour-blind readers can distinguish. Texts are escaped."""
    layout = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12},
        "height": max(480, 30 * diagram.fullest + 80),
        "margin": {"l": 10, "r": 10, "t": 40, "b": 20},
        "annotations": _headings(diagram.columns),
    }
    trace = {"type": "sankey", "arrangement": "snap", "node": _nodes(diagram), "link": _links(diagram)}
    return {"data": [trace], "layout": layout}


def _nodes(diagram: Diagram) -> dict[str, Any]:
    last = max(len(diagram.columns) - 1, 1)
    return {
        "label": [escape(node.label) for node in diagram.nodes],
        "customdata": [escape(node.text) for node in diagram.nodes],
        "hovertemplate": "%{customdata}<br>%{value:.0f} neurons flow here<extra></extra>",
        "color": [node.colour for node in diagram.nodes],
        "line": {"width": 0},
        "x": [min(max(node.column / last, _EDGE), 1 - _EDGE) for node in diagram.nodes],
        "y": [min(max((node.top + node.bottom) / 2, _EDGE), 1 - _EDGE) for node in diagram.nodes],
        "pad": 8,
        "thickness": 14,
    }


def _links(diagram: Diagram) -> dict[str, Any]:
    return {
        "sort": "input",
        "source": [flow.source for flow in diagram.flows],
        "target": [flow.target for flow in diagram.flows],
        "value": [flow.neurons for flow in diagram.flows],
        "color": [f"{COLOURS[flow.event]}99" for flow in diagram.flows],
        "customdata": [escape(flow.text) for flow in diagram.flows],
        "hovertemplate": "%{customdata}<br>%{value:.1f} neurons<extra></extra>",
    }


def _headings(columns: Sequence[str]) -> list[dict[str, Any]]:
    last = max(len(columns) - 1, 1)
    place = {"xref": "paper", "yref": "paper", "y": 1.0, "yshift": 26, "showarrow": False, "font": {"size": 14}}
    sides = ["left" if i == 0 else "right" if i == last else "center" for i in range(len(columns))]
    return [
        {"text": escape(title), "x": i / last, "xanchor": side, **place}
        for i, (title, side) in enumerate(zip(columns, sides, strict=True))
    ]
