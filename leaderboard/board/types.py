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

    ``rank`` is 1 + the number of entries that are significantly better, ``worst_rank`` the number of ranked entries minus
    those that are significantly worse; ``tied_with`` names the entries from which this
    one could not be told apart. ``noise_floor`` is what the computation gives where the truth is exactly zero,
    ``discovery_value`` the method's own value on the queries that it has seen, ``note`` how the number came about.
    """

    entry: str
    rank: int | None = None
    worst_rank: int | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    method_value: float | None = None
    control_value: float | None = None
    n_seeds: int = 0
    cost: MeanCost | None = None
    tied_with: list[str] = []
    reason: str | None = None
    noise_floor: float | None = None
    discovery_value: float | None = None
    note: str = ""

    @property
    def middle_rank(self) -> float | None:
        """The middle of the places that the comparisons allow: ``(rank + worst_rank) / 2``."""
        return None if self.rank is None or self.worst_rank is None else (self.rank + self.worst_rank) / 2

    @property
    def below_noise(self) -> bool:
        """Whether the method's own value is no larger than what the computation gives where the truth is zero."""
        return (
            self.noise_floor is not None
            and self.method_value is not None
            and abs(self.method_value) <= self.noise_floor
        )

    @property
    def optimism(self) -> float | None:
        """The method's value on the queries that it has seen minus that on held-out ones."""
        if self.discovery_value is None or self.method_value is None:
            return None
        return self.discovery_value - self.method_value


class Comparison(_Strict):
    """First minus second, paired over queries; ``p_holm`` is corrected for all pairs of the table."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


class Agreement(_Strict):
    """How well the coalitions of an entry's seeds agree on one task: adjusted mutual information, mean over pairs.

    1: the same coalitions whatever the seed; 0: no more than by chance. ``reason`` says why there is no number.
    """

    entry: str
    n_seeds: int
    ami: float | None
    lowest: float | None
    highest: float | None
    reason: str | None = None


class MetricBoard(_Strict):
    """One metric on one domain of one task: rows best first, then those without a rank. Only ``primary`` ones are ranked.

    ``note`` says why nothing is ranked, if so. ``detectable_difference`` is the smallest true difference between two
    typical entries that this many queries show with probability 0.8 (two-sided at 0.05 over all pairs, Bonferroni).
    """

    metric: str
    domain: str
    unit: str
    meaning: str
    higher_is_better: bool
    primary: bool = True
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
    agreement: list[Agreement] = []

    @property
    def ranked(self) -> list[MetricBoard]:
        """The tables that are ranked."""
        return [metric for metric in self.metrics if metric.primary]

    @property
    def shown(self) -> list[MetricBoard]:
        """The tables that are shown beside them."""
        return [metric for metric in self.metrics if not metric.primary]


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
    """Mean of the middle ranks over (task, primary metric); ``note`` says why there is no interval, if so."""

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
