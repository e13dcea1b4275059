"""Numbers as people read them: as many digits as the interval warrants, aligned, with their sign."""

from __future__ import annotations

import json
from math import floor, log10
from statistics import median

from coterie.leaderboard.board.types import MetricBoard

MISSING = "-"


def decimals(metric: MetricBoard) -> int:
    """Decimals that show two significant digits of the typical half-width of an interval (2 to 6; 3 without any)."""
    halves = [(r.high - r.low) / 2 for r in metric.rows if r.low is not None and r.high is not None and r.high > r.low]
    return min(6, max(2, 1 - floor(log10(median(halves))))) if halves else 3


def number(value: float, places: int) -> str:
    """``0.031``; what rounds to zero has no sign."""
    text = f"{value:.{places}f}"
    return text if float(text) else text.removeprefix("-")


def signed(value: float | None, places: int) -> str:
    """``+0.031``; what rounds to zero has no sign."""
    if value is None:
        return MISSING
    text = number(value, places)
    return text if float(text) <= 0 else f"+{text}"


def interval(low: float | None, high: float | None, places: int) -> str:
    """``[0.012, 0.049]``, or nothing where there is no interval."""
    return "" if low is None or high is None else f"[{number(low, places)}, {number(high, places)}]"


def count(value: float | None) -> str:
    """``1,234``: a whole number with separators."""
    return MISSING if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """``0.42``, ``12.3``, ``1,234``: seconds with about three digits, so that a column aligns."""
    if value is None:
        return MISSING
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def settings(values: dict[str, object]) -> str:
    """``k 32, controls 20``."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def setting(value: object) -> str:
    """``64``, ``true``, ``[1, 2]``, ``none``, and a text without quotes."""
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def percent(share: float | None) -> str:
    """``12 %`` of a share of 0.12, as whole per cents."""
    return MISSING if share is None else f"{share:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def sentence(text: str) -> str:
    """The text with a capital, unless its first word is a name of its own, like nDCG@10."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.islower() else text
