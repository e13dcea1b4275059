"""A few SVG shapes, in colours that follow the reader's light or dark theme: enough for the pictures of the concepts."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

# For the file on its own; inside a page, assets/extra.css sets the same colours
STYLE = """<style>
.picture{--ink:#1f2430;--soft:#6b7280;--one:#3949ab;--two:#c2410c;--fill:#e8eaf6}
@media (prefers-color-scheme:dark){.picture{--ink:#e6e8ef;--soft:#a3abbd;--one:#9fa8ff;--two:#ffab70;--fill:#2b3150}}
</style>"""
Point = tuple[float, float]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


@dataclass
class Canvas:
    """Shapes in drawing order. The colours are `ink`, `soft`, `one`, `two`, `fill` and `none`."""

    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    parts: list[str] = field(default_factory=list)
    """The SVG elements drawn so far."""

    def text(
        self, at: Point, words: object, size: int = 14, anchor: str = "middle", color: str = "ink", bold: bool = False
    ) -> None:
        """Draw one line of text; `at` is the middle, start or end of its baseline."""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{_n(at[0])}" y="{_n(at[1])}" font-size="{size}" text-anchor="{anchor}"{weight} '
            f'fill="var(--{color})">{html.escape(str(words))}</text>'
        )

    def line(self, a: Point, b: Point, color: str = "soft", width: float = 1.5, dashed: bool = False) -> None:
        """Draw a straight line."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<line x1="{_n(a[0])}" y1="{_n(a[1])}" x2="{_n(b[0])}" y2="{_n(b[1])}" stroke="var(--{color})" '
            f'stroke-width="{width}"{dash}/>'
        )

    def arrow(self, a: Point, b: Point, color: str = "soft", short: float = 0, aside: float = 0) -> None:
        """Draw an arrow from a to b, shortened by `short` at both ends and moved to its left by `aside`, so that two can pass."""
        length = ((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5
        u, v = (b[0] - a[0]) / length, (b[1] - a[1]) / length
        a = (a[0] + u * short + v * aside, a[1] + v * short - u * aside)
        b = (b[0] - u * short + v * aside, b[1] - v * short - u * aside)
        self.line(a, (b[0] - 6 * u, b[1] - 6 * v), color, 1.8)
        left, right = (b[0] - 9 * u - 4.5 * v, b[1] - 9 * v + 4.5 * u), (b[0] - 9 * u + 4.5 * v, b[1] - 9 * v - 4.5 * u)
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in (b, left, right))
        self.parts.append(f'<polygon points="{points}" fill="var(--{color})"/>')

    def circle(self, at: Point, radius: float, fill: str = "fill", stroke: str = "ink", width: float = 1.5) -> None:
        """Draw a circle."""
        self.parts.append(
            f'<circle cx="{_n(at[0])}" cy="{_n(at[1])}" r="{_n(radius)}" fill="{_paint(fill)}" stroke="{_paint(stroke)}" '
            f'stroke-width="{width}"/>'
        )

    def box(
        self,
        at: Point,
        width: float,
        height: float,
        fill: str = "fill",
        stroke: str = "ink",
        round_: float = 6,
        opacity: float = 1,
        dashed: bool = False,
    ) -> None:
        """Draw a rectangle; `at` is its upper left corner."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{_n(at[0])}" y="{_n(at[1])}" width="{_n(width)}" height="{_n(height)}" rx="{_n(round_)}" '
            f'fill="{_paint(fill)}" fill-opacity="{opacity:.2f}" stroke="{_paint(stroke)}" stroke-width="1.5"{dash}/>'
        )

    def svg(self, title: str) -> str:
        """The whole file. Screen readers read `title` aloud."""
        return (
            f'<svg class="picture" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" role="img" aria-label="{html.escape(title)}" font-family="system-ui, sans-serif">'
            f"{STYLE}\n" + "\n".join(self.parts) + "\n</svg>\n"
        )


def _paint(color: str) -> str:
    return color if color == "none" else f"var(--{color})"
