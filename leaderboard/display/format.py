"""Human-readable numbers: with as many digits as the interval warrants, aligned, with a sign."""

from __future__ import annotations

import json
import re
from math import floor, log10
from statistics import median

from coterie.leaderboard.board.types import MetricBoard

MISSING = "-"


def decimals(metric: MetricBoard) -> int:
    """Decimals that show two significant digits of the typical half-width of an interval: 2 to 6, or 3 without intervals."""
    halves = [(r.high - r.low) / 2 for r in metric.rows if r.low is not None and r.high is not None and r.high > r.low]
    return min(6, max(2, 1 - floor(log10(median(halves))))) if halves else 3


def number(value: float, places: int) -> str:
    """A number such as `0.031`, without a sign if it rounds to zero."""
    text = f"{value:.{places}f}"
    return text if float(text) else text.removeprefix("-")


def signed(value: float | None, places: int) -> str:
    """A number such as `+0.031`, without a sign if it rounds to zero."""
    if value is None:
        return MISSING
    text = number(value, places)
    return text if float(text) <= 0 else f"+{text}"


def interval(low: float | None, high: float | None, places: int) -> str:
    """An interval such as `[0.012, 0.049]`; an empty string without an interval."""
    return "" if low is None or high is None else f"[{number(low, places)}, {number(high, places)}]"


def count(value: float | None) -> str:
    """A whole number with separators, such as `1,234`."""
    return MISSING if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Seconds with about three digits, such as `0.42`, `12.3` or `1,234`."""
    if value is None:
        return MISSING
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def settings(values: dict[str, object]) -> str:
    """Settings in one line, such as `k 32, controls 20`."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def setting(value: object) -> str:
    """A parameter's value such as `64`, `true`, `[1, 2]` or `none`; text without quotes."""
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def percent(share: float | None) -> str:
    """A share of 0.12 as `12 %`."""
    return MISSING if share is None else f"{share:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def prose(text: str) -> str:
    """A text from a docstring, with quotes instead of code markup: 'size' for `size`."""
    return re.sub(r"(`+)([^`]+)\1", r"'\2'", text)


def sentence(text: str) -> str:
    """A text as prose with a capital letter, unless its first word has capitals already, like nDCG@10."""
    text = prose(text)
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.islower() else text
