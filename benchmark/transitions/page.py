"""The interactive diagram: a plotly Sankey diagram in one page that needs nothing from the network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coterie.benchmark.transitions.flow import COLOURS, MEANINGS, NODE_COLOUR, Diagram
from coterie.benchmark.transitions.report import Report
from coterie.leaderboard.templating import environment

if TYPE_CHECKING:
    import plotly.graph_objects as go

TEMPLATES = Path(__file__).parent / "templates"
_EDGE = 0.01  # nodes stand around their place, and plotly takes a place of 0 for none


def page(report: Report, diagram: Diagram) -> str:
    """The page, plotly's script included. Names come from files of others and are escaped wherever they stand."""
    from markupsafe import Markup

    pages = environment(TEMPLATES)
    pages.filters["percent"] = lambda share: "-" if share is None else f"{share:.0%}"
    figure = sankey(diagram).to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="transitions",
        config={"displayModeBar": False, "responsive": True},
    )
    return pages.get_template("page.html.j2").render(
        report=report,
        note=diagram.note,
        colours=COLOURS,
        meanings=MEANINGS,
        figure=Markup(figure),  # noqa: S704 (plotly's own markup; every text in it is escaped in `sankey`)
    )


def sankey(diagram: Diagram) -> go.Figure:
    """The diagram as a plotly figure; on any background, in colours that colour-blind readers tell apart."""
    import plotly.graph_objects as go

    last = max(len(diagram.columns) - 1, 1)
    across = [min(max(node.column / last, _EDGE), 1 - _EDGE) for node in diagram.nodes]
    middle = [min(max((node.top + node.bottom) / 2, _EDGE), 1 - _EDGE) for node in diagram.nodes]
    drawn = go.Sankey(
        arrangement="snap",
        node={
            "label": [escape(node.label) for node in diagram.nodes],
            "customdata": [escape(node.text) for node in diagram.nodes],
            "hovertemplate": "%{customdata}<br>%{value:.0f} neurons flow here<extra></extra>",
            "color": [_colour(node.kind) for node in diagram.nodes],
            "line": {"width": 0},
            "x": across,
            "y": middle,
            "pad": 8,
            "thickness": 14,
        },
        link={
            "sort": "input",
            "source": [flow.source for flow in diagram.flows],
            "target": [flow.target for flow in diagram.flows],
            "value": [flow.neurons for flow in diagram.flows],
            "color": [f"{COLOURS[flow.event]}99" for flow in diagram.flows],
            "customdata": [escape(flow.text) for flow in diagram.flows],
            "hovertemplate": "%{customdata}<br>%{value:.1f} neurons<extra></extra>",
        },
    )
    fullest = max((sum(node.column == i for node in diagram.nodes) for i in range(len(diagram.columns))), default=0)
    figure = go.Figure(drawn)
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        height=max(480, 30 * fullest + 80),
        margin={"l": 10, "r": 10, "t": 40, "b": 20},
        annotations=_headings(diagram.columns),
    )
    return figure


def _headings(columns: Sequence[str]) -> list[dict[str, Any]]:
    last = max(len(columns) - 1, 1)
    place = {"xref": "paper", "yref": "paper", "y": 1.0, "yshift": 26, "showarrow": False, "font": {"size": 14}}
    sides = ["left" if i == 0 else "right" if i == last else "center" for i in range(len(columns))]
    return [
        {"text": escape(title), "x": i / last, "xanchor": side, **place}
        for i, (title, side) in enumerate(zip(columns, sides, strict=True))
    ]


def _colour(kind: str) -> str:
    return COLOURS[kind] if kind in ("vanish", "emerge") else NODE_COLOUR  # type: ignore[index]
