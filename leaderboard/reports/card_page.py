"""The cards as one page: nothing is loaded, nothing runs, every text is escaped."""

from __future__ import annotations

import base64
import hashlib

from coterie.leaderboard.display.templating import TEMPLATES, environment
from coterie.leaderboard.reports.card import Against, Card, Inspection

LEVELS = 5  # shades of a token


def render_page(inspection: Inspection, numbers: str = "inspect.json", back: str = "") -> str:
    """A self-contained page, light and dark, for wide and narrow screens. Only the package's own style is unescaped.

    ``numbers`` and ``back`` are addresses, of its JSON and of the site's page that it belongs to, if there is one.
    """
    from markupsafe import Markup

    pages = environment()
    pages.filters |= {"number": _number, "interval": _interval}
    style = (TEMPLATES / "cards.css").read_text("utf8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return pages.get_template("cards.html.j2").render(
        inspection=inspection,
        cards=[(card, _darkest(card)) for card in inspection.cards],
        shade=shade,
        numbers=numbers,
        back=back,
        style=Markup(style),  # noqa: S704  a file of this package, not input
        style_hash=f"sha256-{digest}",
    )


def shade(firing: float, darkest: float) -> str:
    """The class of a token: ``up1`` to ``up5`` and ``down1`` to ``down5``, in fifths of the darkest; none near 0."""
    level = min(round(LEVELS * abs(firing) / darkest), LEVELS) if darkest else 0
    return f"{'up' if firing > 0 else 'down'}{level}" if level else ""


def _darkest(card: Card) -> float:
    """The firing from which on tokens are darkest: above 95 % of the shown ones', so that no single token fades the rest."""
    sizes = sorted(abs(t.firing) for pair in (*card.fires_most, *card.fires_least) for t in pair.tokens)
    return sizes[int(0.95 * (len(sizes) - 1))] if sizes else 0.0


def _number(value: float, places: int = 2) -> str:
    """With a real minus sign; what rounds to zero has none."""
    text = f"{value:.{places}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.removeprefix("-")


def _interval(value: Against, places: int = 3) -> str:
    """``[0.01, 0.05]``, or why there is none."""
    if value.low is None or value.high is None:
        return value.reason or ""
    return f"[{_number(value.low, places)}, {_number(value.high, places)}]"
