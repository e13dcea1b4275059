"""The geometry of plots: the axis of a table's dot plot, in per cent of its width, and the arms of error bars.

The page's template draws the dot plot as SVG, one strip per row, so that it sorts with the table, follows the page's light
and dark colours, is hidden from screen readers, which read the numbers next to it, and takes about 300 bytes per row. For the
same dots, a plotly figure would embed 4.5 MB of script, and a matplotlib figure would bring other fonts and colours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

from coterie.leaderboard.board.types import Row

MARGIN = 4.0  # per cent on each side, so that a dot at the end is not clipped
TICKS = 6  # steps between ticks, at most
LEAST_EVALUATIONS = 0.5  # where a logarithmic axis shows no evaluations


@dataclass(frozen=True)
class Axis:
    """A linear axis with round ticks."""

    low: float
    """Left end."""

    high: float
    """Right end."""

    ticks: tuple[float, ...]
    """Round numbers from left to right."""

    places: int
    """Decimals of the ticks' labels."""

    base: float
    """The value that others are compared with: 0 for chance, 1 for the best rank."""

    def position(self, value: float) -> float:
        """The position of a value, in per cent from the left."""
        share = (value - self.low) / (self.high - self.low)
        return round(MARGIN + share * (100 - 2 * MARGIN), 2)

    @property
    def base_is_even(self) -> bool:
        """Whether the base is an even tick (0, 2, 4, ...): narrow screens label every other tick, and must label the base."""
        return next((i for i, tick in enumerate(self.ticks) if tick == self.base), 0) % 2 == 0

    def label(self, tick: float) -> str:
        """A tick's number, without unnecessary digits."""
        return f"{tick:.{self.places}f}" if tick else "0"


def axis_for(rows: Iterable[Row], base: float = 0.0) -> Axis:
    """An axis that spans every value, every interval and `base`."""
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


def arms(rows: Iterable[tuple[float | None, float | None, float | None]]) -> tuple[list[float], list[float]]:
    """Lengths of the error bars' arms below and above, for (value, low, high); 0 without an interval."""
    below, above = [], []
    for value, low, high in rows:
        below.append(max(0.0, value - low) if value is not None and low is not None else 0.0)
        above.append(max(0.0, high - value) if value is not None and high is not None else 0.0)
    return below, above
