"""The site's plots as plotly figures in plain JSON: built without importing plotly, drawn by the page's own script.

The page sets the colours of text, axes and background, light or dark. Text from records is escaped, because plotly reads
markup. Each plot accompanies a table with its numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from statistics import fmean
from typing import Any

from coterie.leaderboard.board.budgets import budget_curves
from coterie.leaderboard.board.types import Board, MetricBoard, OverallRow, TaskBoard
from coterie.leaderboard.display.plot import LEAST_EVALUATIONS, arms
from coterie.leaderboard.statistics.sizes import QUANTILES, size_quantiles
from coterie.tracking.record import Record

Figure = dict[str, Any]
# Okabe and Ito's colours without black and yellow: mid tones, visible on white and on black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6bb1", "#e69f00", "#56b4e9")
DASHES = ("solid", "dash", "dot")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross")
LEAST_SECONDS = 0.001  # where a logarithmic axis shows no time


def tie_groups(rows: Sequence[OverallRow]) -> list[list[str]]:
    """Maximal runs of entries, best first, whose mean ranks' intervals all overlap; empty without intervals.

    Overlap is more cautious than a test of the difference: entries that share no group do differ.
    """
    known = [(row.entry, row.low, row.high) for row in rows if row.low is not None and row.high is not None]
    runs: list[list[str]] = []
    reached = 0
    for start in range(len(known)):
        end = start + 1
        while end < len(known) and _overlap(known[start : end + 1]):
            end += 1
        if end > reached:
            runs.append([entry for entry, _, _ in known[start:end]])
            reached = end
    return runs


def ranks(board: Board) -> Figure | None:
    """Mean ranks with intervals, best on top, and a bar next to each group of statistically tied entries."""
    rows = [row for row in board.overall.rows if row.mean_rank is not None]
    if len(rows) < 2:
        return None
    names = [_label(row.entry) for row in rows]
    points: dict[str, Any] = {"x": [row.mean_rank for row in rows], "y": names, "mode": "markers"}
    points["marker"] = {"size": 9, "color": COLOURS[0]}
    points["hovertemplate"] = "%{y}: %{x:.2f}<extra></extra>"
    points["error_x"] = _arms([(row.mean_rank, row.low, row.high) for row in rows])
    worst = max(number for row in rows for number in (row.mean_rank, row.high) if number is not None)
    bars = [
        {
            "x": [worst + 0.25 * (i + 1)] * 2,
            "y": [_label(group[0]), _label(group[-1])],
            "mode": "lines",
            "line": {"width": 5, "color": "#8b9096"},
            "hovertemplate": "statistically tied: " + escape(", ".join(group)) + "<extra></extra>",
        }
        for i, group in enumerate(tie_groups(rows))
        if len(group) > 1
    ]
    axis = {"title": {"text": "mean rank"}}
    order = {"autorange": "reversed", "categoryorder": "array", "categoryarray": names}
    return _figure([points, *bars], axis, order, height=90 + 30 * len(rows))


def pareto(metric: MetricBoard) -> Figure | None:
    """Value against seconds of discovery, with the Pareto front."""
    rows = [(r.entry, r.cost, r.value, r.low, r.high) for r in metric.rows]
    places = [(e, c.discovery_seconds, v, low, high) for e, c, v, low, high in rows if c and v is not None]
    return _against_cost(places, {"title": {"text": escape(metric.unit)}}, 1 if metric.higher_is_better else -1)


def rank_pareto(board: Board) -> Figure | None:
    """Mean rank against seconds of discovery, best on top, with the Pareto front."""
    rows = [(r.entry, r.cost, r.mean_rank, r.low, r.high) for r in board.overall.rows]
    places = [(e, c.discovery_seconds, v, low, high) for e, c, v, low, high in rows if c and v is not None]
    return _against_cost(places, {"title": {"text": "mean rank (1 is best)"}, "autorange": "reversed"}, -1)


Place = tuple[str, float, float, float | None, float | None]


def _against_cost(rows: Sequence[Place], up: dict[str, Any], sign: int) -> Figure | None:
    if len(rows) < 2:
        return None
    front = front_of([(seconds, sign * value) for _, seconds, value, _, _ in rows])
    x, y = [max(row[1], LEAST_SECONDS) for row in rows], [row[2] for row in rows]
    points = []
    colours = {entry: i for i, entry in enumerate(sorted(row[0] for row in rows))}  # the same in all plots of a task
    for number, row in enumerate(rows):
        point = _line(_label(row[0]), colours[row[0]], [x[number]], [y[number]]) | {
            "mode": "markers",
            "error_y": _arms([row[2:]]),
        }
        point["marker"] |= (
            {"size": 10} if number in front else {"size": 9, "symbol": f"{point['marker']['symbol']}-open"}
        )
        point["hovertemplate"] = "%{fullData.name}: %{y:.4g} in %{x:.3g} s<extra></extra>"
        points.append(point)
    line = {
        "x": [x[i] for i in front],
        "y": [y[i] for i in front],
        "mode": "lines",
        "line": {"shape": "hv", "dash": "dot", "color": "#8b9096"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    across = {"title": {"text": "seconds to find the coalitions"}, "type": "log"}
    return _figure([line, *points], across, up, legend=True)


def front_of(places: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the Pareto front of (cost, quality) pairs: no other pair is cheaper and as good, or better and as cheap."""
    best, front = float("-inf"), []
    for i in sorted(range(len(places)), key=lambda i: (places[i][0], -places[i][1])):
        if places[i][1] > best:
            front.append(i)
            best = places[i][1]
    return front


def ablation(records: Sequence[tuple[str, Record]]) -> Figure | None:
    """The measure `ndcg_curve`: nDCG lost against share of neurons removed, mean over seeds; dotted: random controls."""
    found: dict[str, list[list[tuple[float, float, float]]]] = defaultdict(list)
    for entry, record in records:
        found[entry] += [m.curve for m in record.scores if m.metric == "ndcg_curve" and m.curve]
    traces: list[dict[str, Any]] = []
    for number, (entry, curves) in enumerate(sorted(found.items())):
        length = min(len(curve) for curve in curves) if curves else 0
        if not length:
            continue
        rows = [[fmean(curve[i][part] for curve in curves) for part in range(3)] for i in range(length)]
        for part, kind in ((1, "coalitions"), (2, "random sets")):
            trace = _line(_label(entry), number, [row[0] for row in rows], [row[part] for row in rows])
            trace["hovertemplate"] = f"{_label(entry)}, {kind}: %{{y:.4f}} at %{{x:.1%}}<extra></extra>"
            if part == 2:
                trace |= {"showlegend": False, "line": {**trace["line"], "dash": "dot", "width": 1}, "opacity": 0.7}
            traces.append(trace)
    if not traces:
        return None
    across = {"title": {"text": "share of the neurons removed"}, "tickformat": ".0%"}
    return _figure(traces, across, {"title": {"text": "nDCG@10 lost"}}, legend=True)


def sizes(labelled: Sequence[tuple[str, Record]]) -> Figure | None:
    """Sizes of each label's coalitions over all its records: a box of quartiles with whiskers to smallest and largest."""
    found: dict[str, list[int]] = defaultdict(list)
    for label, record in labelled:
        if record.coalitions:
            found[label] += [len(group) for group in record.coalitions.groups]
    known = {label: size_quantiles(numbers) for label, numbers in sorted(found.items()) if numbers}
    if not known:
        return None
    columns = dict(zip(QUANTILES, zip(*known.values(), strict=True), strict=True))
    box = {
        "type": "box",
        "orientation": "h",
        "y": [_label(label) for label in known],
        "lowerfence": columns[0.0],
        "q1": columns[0.25],
        "median": columns[0.5],
        "q3": columns[0.75],
        "upperfence": columns[1.0],
        "marker": {"color": COLOURS[0]},
    }
    across = {"title": {"text": "neurons per coalition"}, "type": "log"}
    return _figure([box], across, {"autorange": "reversed"}, height=100 + 34 * len(known))


def size_histogram(record: Record) -> Figure | None:
    """Number of a record's coalitions by size."""
    if record.coalitions is None or not record.coalitions.groups:
        return None
    numbers: dict[int, int] = defaultdict(int)
    for group in record.coalitions.groups:
        numbers[len(group)] += 1
    x = sorted(numbers)
    bars = {"type": "bar", "x": x, "y": [numbers[n] for n in x], "marker": {"color": COLOURS[0]}, "width": 0.9}
    bars["hovertemplate"] = "%{y} of %{x} neurons<extra></extra>"
    return _figure([bars], {"title": {"text": "neurons per coalition"}}, {"title": {"text": "coalitions"}}, height=260)


def budgets(board: Board, metric: MetricBoard) -> Figure | None:
    """Value against evaluations spent, for methods with several budgets."""
    curves = budget_curves(board, metric)
    traces = []
    for number, (selector, points) in enumerate(curves.items()):
        trace = _line(
            _label(selector), number, [max(p.evaluations, LEAST_EVALUATIONS) for p in points], [p.value for p in points]
        )
        trace["error_y"] = _arms([(p.value, p.low, p.high) for p in points])
        traces.append(trace)
    across = {"title": {"text": "evaluations spent"}, "type": "log"}
    return _figure(traces, across, {"title": {"text": escape(metric.unit)}}, legend=True) if traces else None


def fidelity(rows: Sequence[tuple[str, float | None, float | None, float | None]]) -> Figure | None:
    """Points with intervals from (affinity, rank correlation, low, high), best first; those without a number are left out."""
    known = [row for row in rows if row[1] is not None]
    if not known:
        return None
    names = [_label(name) for name, _, _, _ in known]
    points: dict[str, Any] = {"x": [row[1] for row in known], "y": names, "mode": "markers"}
    points["marker"] = {"size": 9, "color": COLOURS[0]}
    points["error_x"] = _arms([row[1:] for row in known])
    points["hovertemplate"] = "%{y}: %{x:.3f}<extra></extra>"
    order = {"autorange": "reversed", "categoryorder": "array", "categoryarray": names}
    across = {"title": {"text": "rank correlation with the exact synergy"}, "range": [-1.05, 1.05], "zeroline": True}
    return _figure([points], across, order, height=110 + 30 * len(known))


def history(rows: Sequence[dict[str, Any]]) -> Figure | None:
    """Values over versions: one line per task and metric with values in two or more versions."""
    series: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["value"] is not None and row["value"] == row["value"]:
            series[f"{row['task']}, {row['metric']}"].append(row)
    several = {name: found for name, found in sorted(series.items()) if len(found) > 1}
    traces = []
    for number, (name, found) in enumerate(several.items()):
        trace = _line(_label(name), number, [str(row["date"]) for row in found], [row["value"] for row in found])
        trace["error_y"] = _arms([(row["value"], _known(row["low"]), _known(row["high"])) for row in found])
        traces.append(trace)
    return _figure(traces, {"title": {"text": "date"}}, {"title": {"text": "value"}}, legend=True) if traces else None


def task_figures(board: Board, task: TaskBoard, records: Sequence[tuple[str, Record]]) -> list[tuple[str, Figure]]:
    """(caption, figure) of every plot that the task's records allow."""
    drawn: list[tuple[str, Figure | None]] = [
        *(
            (f"{metric.key}: quality against cost; filled markers, dotted line: Pareto front", pareto(metric))
            for metric in task.ranked
        ),
        *((f"{metric.key}: quality against budget", budgets(board, metric)) for metric in task.ranked),
        ("Removing coalitions one by one; dotted: random sets of the same sizes", ablation(records)),
        ("Coalition sizes: quartiles, with whiskers to the smallest and largest", sizes(records)),
    ]
    return [(caption, figure) for caption, figure in drawn if figure]


def _overlap(rows: Sequence[tuple[str, float, float]]) -> bool:
    return max(low for _, low, _ in rows) <= min(high for _, _, high in rows)


def _known(number: float | None) -> float | None:
    return number if number is not None and number == number else None


def _label(text: str) -> str:
    short = text if len(text) <= 44 else text[:43] + "…"
    return escape(short)


def _line(name: str, number: int, x: Sequence[Any], y: Sequence[Any]) -> dict[str, Any]:
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
    line = {"color": colour, "dash": dash, "width": 2}
    marker = {"color": colour, "symbol": MARKERS[number % len(MARKERS)], "size": 7}
    return {"x": x, "y": y, "mode": "lines+markers", "name": name, "legendgroup": name, "line": line, "marker": marker}


def _arms(rows: Sequence[tuple[float | None, float | None, float | None]]) -> dict[str, Any]:
    """Error bars of (value, low, high); no arm without an interval."""
    below, above = arms(rows)
    return {"type": "data", "array": above, "arrayminus": below, "thickness": 1.5, "width": 3}


def _figure(
    traces: Sequence[dict[str, Any]], x: dict[str, Any], y: dict[str, Any], *, height: int = 340, legend: bool = False
) -> Figure:
    layout = {
        "xaxis": {"automargin": True, **x},
        "yaxis": {"automargin": True, **y},
        "height": height + (110 if legend else 0),
        "showlegend": legend,
        "legend": {"orientation": "h", "y": -0.28},
        "margin": {"l": 12, "r": 16, "t": 24, "b": 12},
        "hoverlabel": {"namelength": -1},
    }
    return {"data": list(traces), "layout": layout}
