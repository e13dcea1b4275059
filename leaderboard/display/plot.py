"""The dot plot of a table: where dots and intervals lie on a shared axis, as per cent of the plot's width.

The plot is drawn as SVG by the page's template, one strip a row, so that it sorts with the table, takes the page's
colours in light and dark, is text to a screen reader, and weighs some 300 bytes a row. A plotly figure would embed 4.5 MB
of script to draw the same dots, and a matplotlib figure would bring its own fonts and colours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

from coterie.leaderboard.board.types import Row

MARGIN = 4.0  # per cent on each side, so that a dot at the end is whole
TICKS = 6  # at most, and one more


@dataclass(frozen=True)
class Axis:
    """A linear axis from ``low`` to ``high`` with round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    places: int
    base: float

    def position(self, value: float) -> float:
        """Where a value lies, in per cent from the left."""
        share = (value - self.low) / (self.high - self.low)
        return round(MARGIN + share * (100 - 2 * MARGIN), 2)

    @property
    def base_is_even(self) -> bool:
        """Whether the base (0) is among the ticks 0, 2, 4, ...: narrow screens label every other tick, and it."""
        return next((i for i, tick in enumerate(self.ticks) if tick == self.base), 0) % 2 == 0

    def label(self, tick: float) -> str:
        """A tick's number, without needless digits."""
        return f"{tick:.{self.places}f}" if tick else "0"


def axis_for(rows: Iterable[Row], base: float = 0.0) -> Axis:
    """An axis that holds every value, every interval and ``base`` (0 is chance, 1 the best rank)."""
    numbers = [n for row in rows for n in (row.value, row.low, row.high) if n is not None]
    low, high = min([base, *numbers]), max([base, *numbers])
    if low == high:
        low, high = low - 1, high + 1
    raw = (high - low) / TICKS
    unit = 10.0 ** floor(log10(raw))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= raw * 0.999)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    ticks = tuple(i * step for i in range(first, last + 1))
    return Axis(low, high, ticks, max(0, -floor(log10(step) + 1e-9)), base)
