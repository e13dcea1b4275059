"""The interactive diagram: a plotly Sankey diagram on one self-contained page."""

from __future__ import annotations

from pathlib import Path

from coterie.leaderboard.display.sankey import sankey
from coterie.leaderboard.display.templating import environment
from coterie.leaderboard.reports.flow import COLOURS, MEANINGS, Diagram
from coterie.leaderboard.reports.transitions import TransitionsReport

TEMPLATES = Path(__file__).parent / "templates"


def page(report: TransitionsReport, diagram: Diagram) -> str:
    """Render the page, including plotly's script. Names may come from untrusted files and are always escaped."""
    import plotly.graph_objects as go
    from markupsafe import Markup

    pages = environment(TEMPLATES)
    figure = go.Figure(sankey(diagram), layout_template="none").to_html(
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
