"""What the columns mean, once, for every rendering."""

from __future__ import annotations

from coterie.leaderboard.board.types import Board, MetricBoard, Row
from coterie.leaderboard.statistics.bootstrap import LEVEL

HEADLINE = "Which neurons of a reranker work together?"
LEDE = (
    "Each method proposes coalitions: groups of neurons that act together. They are scored by ablating them on queries "
    "that the method has never seen, against random groups of the same sizes."
)

PERCENT = f"{LEVEL:.0%}".replace("%", " %")

BELOW_NOISE = "below the noise floor"
AGREEMENT = (
    "Adjusted mutual information of the coalitions of two seeds, over the players that either puts into a coalition of two "
    "or more, mean over pairs of seeds: 1 is the same coalitions whatever the seed, 0 no more than chance."
)

COLUMNS = (
    (
        "Rank",
        "1 + the number of methods that are significantly better (paired bootstrap over queries and seeds; all pairs of a "
        "table corrected by Holm's method at 5 %). Rank 1: no method is demonstrably better.",
    ),
    (
        "Excess",
        "the method's value minus that of random coalitions of the same sizes, mean over seeds; 0 is chance. "
        f"In brackets: {PERCENT} bootstrap interval over queries and seeds (one seed: over queries only).",
    ),
    (
        "Value",
        "the method's value, where a metric has no random control, mean over seeds. "
        f"In brackets: {PERCENT} bootstrap interval over queries and seeds (one seed: over queries only).",
    ),
    (
        "On seen",
        "the method's own value on the discovery queries, which it has seen. What is above its held-out value (Method's) is "
        "optimism: a method that selects by ablation is not to be judged by ablation of what it has seen.",
    ),
    (
        "Mean rank",
        "over all ranked tables, of the middle of the places that are possible for the method: from 1 + the number that are "
        "significantly better to the last place but those that are significantly worse. A method that cannot be told from "
        f"any other is in the middle. In brackets: {PERCENT} bootstrap interval over tasks.",
    ),
    (
        "Evaluations",
        "what the method spent to find its coalitions, mean over seeds; one is a pass over all discovery pairs.",
    ),
    ("Seconds", "the time it took to find them, scoring not included, mean over seeds."),
    ("Sees", "what the method is given."),
)


def value_heading(metric: MetricBoard) -> str:
    """``Excess`` where the metric has a control, else ``Value``."""
    return "Excess" if any(row.control_value is not None for row in metric.rows) else "Value"


def direction(metric: MetricBoard) -> str:
    return "higher is better" if metric.higher_is_better else "lower is better"


def columns_of(board: Board) -> list[tuple[str, str]]:
    """The explanations of the columns that this board has."""
    headings = {value_heading(metric) for task in board.tasks for metric in task.metrics}
    return [(name, text) for name, text in COLUMNS if name not in {"Excess", "Value"} - headings]


def note_of(row: Row, metric: MetricBoard) -> str:
    """What is to be said of a number: why it has no rank, that it is noise, how it came about."""
    parts = [row.reason] if row.reason and row.rank is None and (metric.primary or row.value is None) else []
    parts += [f"{BELOW_NOISE} ({row.noise_floor:.1e})"] if row.below_noise else []
    return "; ".join([*parts, *([row.note] if row.note else [])])
