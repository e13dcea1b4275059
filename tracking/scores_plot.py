"""A plot of a cell's scores for MLflow's pages: one row per measure, with its value and interval relative to zero."""

from __future__ import annotations

from html import escape

from coterie.tracking.record import Measure, Record
from coterie.tracking.text import printable

_ROW, _TOP, _NAMES, _PLOT, _NUMBERS = 22, 44, 260, 300, 260  # pixels

_CAPTION = "value (minus that of random coalitions, if the metric has them), 95 % interval; each row has its own scale"


def scores_svg(record: Record) -> str:
    """The plot as SVG. Units differ between measures, so each row is scaled to the largest of its value and bounds.

    Written as text because matplotlib would take longer than MLflow takes to log the whole cell. Names are escaped.
    """
    measures = [measure for measure in record.scores if measure.value is not None]
    width, height = _NAMES + _PLOT + _NUMBERS, _TOP + _ROW * len(measures) + 12
    zero = _NAMES + _PLOT / 2
    title = _text(f"{record.method.selector} on {record.task_name}, seed {record.seed}", 110)
    rows = "\n".join(_row(measure, _TOP + _ROW * (i + 0.5)) for i, measure in enumerate(measures))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"
 font-family="sans-serif" font-size="12">
<rect width="{width}" height="{height}" fill="white"/>
<text x="8" y="18" font-size="14">{title}</text>
<text x="8" y="36" fill="#666">{_CAPTION}</text>
<line x1="{zero}" x2="{zero}" y1="{_TOP}" y2="{height - 8}" stroke="#bbb"/>
{rows}
</svg>
"""


def _row(measure: Measure, y: float) -> str:
    value = measure.value if measure.value is not None else 0.0
    low = value if measure.low is None else measure.low
    high = value if measure.high is None else measure.high
    largest = max(abs(value), abs(low), abs(high)) or 1.0

    def x(number: float) -> float:
        return round(_NAMES + _PLOT / 2 * (1 + 0.94 * number / largest), 1)

    interval = "" if measure.low is None or measure.high is None else f" [{low:.4g}, {high:.4g}]"
    colour = "#999" if low <= 0 <= high else "#0b6e4f" if (value > 0) == measure.higher_is_better else "#b3261e"
    numbers = _text(f"{value:.4g}{interval} {measure.unit}", 48)
    return (
        f'<text x="{_NAMES - 8}" y="{y + 4}" text-anchor="end">{_text(measure.key, 40)}</text>'
        f'<line x1="{x(low)}" x2="{x(high)}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
        f'<circle cx="{x(value)}" cy="{y}" r="4.5" fill="{colour}"/>'
        f'<text x="{_NAMES + _PLOT + 8}" y="{y + 4}">{numbers}</text>'
    )


def _text(text: str, characters: int) -> str:
    """Truncated and escaped for XML, without control characters, which XML forbids even when escaped."""
    return escape(printable(text, characters))
