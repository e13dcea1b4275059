"""The cards of coalitions as one page: it loads nothing, runs nothing, and escapes every text."""

from __future__ import annotations

from coterie.leaderboard.display import format as fmt
from coterie.leaderboard.display.templating import TEMPLATES, environment, policy_hash, typographic
from coterie.leaderboard.reports.card import Against, Card, Inspection

LEVELS = 5  # shades of a token


def render_page(inspection: Inspection, numbers: str = "inspect.json", back: str = "") -> str:
    """A self-contained page, light and dark, for wide and narrow screens. Only the package's own style is unescaped.

    `numbers` is the address of its JSON, `back` that of the site's page that it belongs to, if any.
    """
    from markupsafe import Markup

    pages = environment()
    pages.filters["interval"] = _interval
    style = (TEMPLATES / "cards.css").read_text("utf8")
    return pages.get_template("cards.html.j2").render(
        inspection=inspection,
        cards=[(card, _darkest(card)) for card in inspection.cards],
        shade=shade,
        numbers=numbers,
        back=back,
        style=Markup(style),  # noqa: S704 (a file of this package, not input)
        style_hash=policy_hash(style),
    )


def shade(firing: float, darkest: float) -> str:
    """The CSS class of a token: `up1` to `up5` or `down1` to `down5`, in fifths of the darkest; empty near 0."""
    level = min(round(LEVELS * abs(firing) / darkest), LEVELS) if darkest else 0
    return f"{'up' if firing > 0 else 'down'}{level}" if level else ""


def _darkest(card: Card) -> float:
    """The firing at which shades saturate: the 95th percentile, so that no single token makes all others pale."""
    sizes = sorted(abs(t.firing) for pair in (*card.fires_most, *card.fires_least) for t in pair.tokens)
    return sizes[int(0.95 * (len(sizes) - 1))] if sizes else 0.0


def _interval(value: Against, places: int) -> str:
    """`[0.01, 0.05]`, or why there is no interval."""
    return typographic(fmt.interval(value.low, value.high, places)) or value.reason or ""
