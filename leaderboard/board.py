"""The compiled leaderboard as data: what ``leaderboard.json`` holds. Its published schema is ``Board``.

Numbers are exact (renderers round). Where a number is missing, ``reason`` or ``note`` says why.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from coterie.tracking.record import TaskInfo

BOARD_SCHEMA_VERSION: Final = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Entry(_Strict):
    """One contestant: a method with its parameters, budget and code. ``label`` is unique on the board."""

    label: str
    selector: str
    method_name: str
    parameters: dict[str, JsonValue]
    budget: int
    code_hash: str
    sees: list[str]
    summary: str
    reference: str
    date: str


class MeanCost(_Strict):
    """Means over seeds (and, in the overall table, over tasks). An evaluation is one pass over the discovery game."""

    evaluations: float
    evaluations_by_kind: dict[str, float]
    discovery_seconds: float
    scoring_seconds: float
    peak_memory_bytes: float


class Row(_Strict):
    """One entry under one metric. ``value`` is the excess over the control where the metric has one.

    ``rank`` is 1 + the number of entries that are significantly better; ``tied_with`` names the entries from which this
    one could not be told apart.
    """

    entry: str
    rank: int | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    method_value: float | None = None
    control_value: float | None = None
    n_seeds: int = 0
    cost: MeanCost | None = None
    tied_with: list[str] = []
    reason: str | None = None


class Comparison(_Strict):
    """First minus second, paired over queries; ``p_holm`` is corrected for all pairs of the table."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


class MetricBoard(_Strict):
    """One primary metric on one domain of one task: rows best first, then those without a rank.

    ``note`` says why nothing is ranked, if so. ``detectable_difference`` is the smallest true difference between two
    typical entries that this many queries show with probability 0.8 (uncorrected two-sided test at 0.05).
    """

    metric: str
    domain: str
    unit: str
    meaning: str
    higher_is_better: bool
    n_queries: int
    detectable_difference: float | None
    note: str | None
    rows: list[Row]
    comparisons: list[Comparison]

    @property
    def key(self) -> str:
        return f"{self.metric}/{self.domain}"


class TaskBoard(_Strict):
    """One task in one edition: the same data, model, protocol and settings for every number in it."""

    task_name: str
    task_fingerprint: str
    protocol: str
    settings: dict[str, JsonValue]
    info: TaskInfo
    seeds: list[int]
    n_records: int
    warnings: list[str]
    notes: list[str]
    metrics: list[MetricBoard]


class Column(_Strict):
    """A column of the overall table."""

    task_name: str
    metric: str
    domain: str


class OverallRow(_Strict):
    """One entry over all tasks; ``ranks`` follows the columns. Without a full set of ranks there is no mean rank."""

    entry: str
    mean_rank: float | None
    low: float | None
    high: float | None
    ranks: list[int | None]
    cost: MeanCost | None
    reason: str | None


class Overall(_Strict):
    """Mean rank over (task, primary metric); ``note`` says why there is no interval, if so."""

    columns: list[Column]
    rows: list[OverallRow]
    note: str | None


class Board(_Strict):
    """Everything a page shows. ``date`` is that of the newest record: the same records give the same board."""

    schema_version: Literal[1] = BOARD_SCHEMA_VERSION
    date: str
    n_records: int
    entries: list[Entry]
    overall: Overall
    tasks: list[TaskBoard]

    def entry(self, label: str) -> Entry:
        """The entry of this label. Raises ``KeyError``."""
        for entry in self.entries:
            if entry.label == label:
                return entry
        raise KeyError(label)
