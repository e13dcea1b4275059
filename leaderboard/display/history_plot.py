"""A cell's history as a picture: one panel per metric, versions from left to right, with intervals.

It is a PNG, which opens anywhere and can go into a report.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from coterie.leaderboard.display.drawing import own_style, without_math

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLOURS = {"better": "#0b6e4f", "worse": "#b3261e"}
PLAIN = "#33506b"
TITLE_CHARACTERS = 80


def write_history_plot(history: pd.DataFrame, path: Path) -> int:
    """Draw a `history_frame` into `path` and return the number of values in it; without values, no file is written.

    Filled green or red markers are significantly better or worse than the version before.
    """
    drawn = history.dropna(subset=["value"])
    panels = list(drawn.groupby(["task", "method", "budget", "metric"], sort=False))
    if not panels:
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with own_style():
        _draw(panels, path)
    return len(drawn)


def _draw(panels: list[tuple[Any, pd.DataFrame]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.6 + 2.6 * len(panels)), layout="constrained")
    for axes, (key, rows) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        _panel(axes, rows)
        task, method, _, metric = (without_math(str(part), TITLE_CHARACTERS) for part in key)
        axes.set_title(f"{metric}   {method} on {task}", fontsize=10, loc="left")
    figure.savefig(path, dpi=130, format="png")


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    places = range(len(rows))
    axes.plot(places, rows["value"], color="#c4ccd4", zorder=1)
    for place, (_, row) in zip(places, rows.iterrows(), strict=True):
        colour = COLOURS.get(str(row["verdict"]), PLAIN)
        if row["low"] == row["low"] and row["low"] is not None:  # not NaN
            axes.plot([place, place], [row["low"], row["high"]], color=colour, linewidth=2.2, zorder=2)
        axes.plot(
            place, row["value"], "o", color=colour, markerfacecolor=colour if colour != PLAIN else "white", zorder=3
        )
        if str(row["verdict"]) in COLOURS:
            axes.annotate(
                f"{row['verdict']}\n{row['change']:+.3g}",
                (place, row["high"] if row["high"] == row["high"] else row["value"]),
                textcoords="offset points",
                xytext=(0, 6),
                ha="center",
                fontsize=8,
                color=colour,
            )
    axes.axhline(0, color="#999", linewidth=0.8, linestyle=":")
    labels = [f"{row['date']:%Y-%m-%d}\n{str(row['code_hash'])[:7]}" for _, row in rows.iterrows()]
    axes.set_xticks(list(places), labels, fontsize=8)
    axes.set_ylabel(without_math(str(rows["unit"].iloc[-1]), TITLE_CHARACTERS), fontsize=8)
    axes.margins(x=0.08, y=0.28)
    axes.spines[["top", "right"]].set_visible(False)
