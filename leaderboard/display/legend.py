"""What the columns mean, in one place for all renderings."""

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
    "Adjusted mutual information between the coalitions of two seeds, averaged over pairs of seeds, for players that either "
    "seed puts into a coalition of two or more. 1: the same coalitions whatever the seed; 0: agreement by chance."
)
_BOOTSTRAP = f"In brackets: {PERCENT} bootstrap interval over queries and seeds (with one seed, over queries only)."

COLUMNS = (
    (
        "Rank",
        "1 + the number of methods that are significantly better (paired bootstrap over queries and seeds, Holm's correction "
        "over all pairs of the table at 5 %). At rank 1, no method is demonstrably better.",
    ),
    (
        "Excess",
        "the method's value minus that of random coalitions of the same sizes, mean over seeds; 0 is chance. "
        + _BOOTSTRAP,
    ),
    ("Value", "the method's value, mean over seeds, for metrics without a random control. " + _BOOTSTRAP),
    (
        "On seen",
        "the method's value on the discovery queries, which it has seen. How far it exceeds the held-out value (Method's) is "
        "optimism: a method that selects by ablation cannot be judged by ablation on the queries it selected on.",
    ),
    (
        "Mean rank",
        "mean over all ranked tables of the middle of the places that a method can have: from 1 + the number of significantly "
        "better methods to the number of methods minus the significantly worse ones. A method that ties with all others is "
        f"in the middle. In brackets: {PERCENT} bootstrap interval over tasks.",
    ),
    (
        "Evaluations",
        "what the method spent to find its coalitions, mean over seeds. One evaluation is a pass over all discovery pairs.",
    ),
    ("Seconds", "time to find the coalitions, without scoring, mean over seeds."),
    ("Sees", "what the method is given."),
)


def value_heading(metric: MetricBoard) -> str:
    """`Excess` if the metric has a control, else `Value`."""
    return "Excess" if any(row.control_value is not None for row in metric.rows) else "Value"


def direction(metric: MetricBoard) -> str:
    """Whether higher or lower is better, as text."""
    return "higher is better" if metric.higher_is_better else "lower is better"


def columns_of(board: Board) -> list[tuple[str, str]]:
    """The explanations of the columns that this board has."""
    headings = {value_heading(metric) for task in board.tasks for metric in task.metrics}
    return [(name, text) for name, text in COLUMNS if name not in {"Excess", "Value"} - headings]


def note_of(row: Row, metric: MetricBoard) -> str:
    """What to know about a number: why it has no rank, that it is noise, how it came about."""
    parts = [row.reason] if row.reason and row.rank is None and (metric.primary or row.value is None) else []
    parts += [f"{BELOW_NOISE} ({row.noise_floor:.1e})"] if row.below_noise else []
    return "; ".join([*parts, *([row.note] if row.note else [])])
