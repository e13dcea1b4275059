"""The compiled leaderboard as data: the content of `leaderboard.json`, whose published schema is that of `Board`.

Numbers are exact; renderers round them. If a number is missing, `reason` or `note` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Final, Literal

from pydantic import Field, JsonValue

from coterie.tracking.record import Cost, Strict, TaskInfo

BOARD_SCHEMA_VERSION: Final = 1


class Entry(Strict):
    """One contestant: a method with its parameters, budget and code."""

    label: str
    """The entry's name, unique on the board."""

    selector: str
    """The method with its parameters, as on the command line."""

    method_name: str
    """Name of the method."""

    parameters: dict[str, JsonValue]
    """Parameters of the method."""

    budget: int
    """Evaluations that the method may spend."""

    code_hash: str
    """Hash of the method's code."""

    sees: list[str]
    """What the method is given, e.g. activations."""

    summary: str
    """One sentence about the method."""

    reference: str
    """Where the method was published; empty if nowhere."""

    date: str
    """Date of the entry's newest record, ISO 8601."""


class MeanCost(Strict):
    """Cost of an entry: means over seeds and, in the overall table, over tasks."""

    evaluations: float
    """Evaluations of all kinds. An evaluation is one pass over the discovery game."""

    evaluations_by_kind: dict[str, float]
    """Evaluations of each kind."""

    discovery_seconds: float
    """Time to find the coalitions."""

    scoring_seconds: float
    """Time to score them."""

    peak_memory_bytes: float
    """Largest memory in use."""

    @classmethod
    def of(cls, cost: Cost) -> MeanCost:
        """The cost of one record."""
        return cls(
            evaluations=sum(cost.evaluations.values()),
            evaluations_by_kind=dict(cost.evaluations),
            discovery_seconds=cost.discovery_seconds,
            scoring_seconds=cost.scoring_seconds,
            peak_memory_bytes=cost.peak_memory_bytes,
        )

    @classmethod
    def mean(cls, costs: Sequence[MeanCost]) -> MeanCost | None:
        """The mean of several costs; None without any."""
        if not costs:
            return None
        kinds = sorted({kind for cost in costs for kind in cost.evaluations_by_kind})
        by_kind = {kind: fmean(cost.evaluations_by_kind.get(kind, 0.0) for cost in costs) for kind in kinds}
        return cls(
            evaluations=sum(by_kind.values()),
            evaluations_by_kind=by_kind,
            discovery_seconds=fmean(cost.discovery_seconds for cost in costs),
            scoring_seconds=fmean(cost.scoring_seconds for cost in costs),
            peak_memory_bytes=fmean(cost.peak_memory_bytes for cost in costs),
        )


class Row(Strict):
    """One entry under one metric."""

    entry: str
    """Label of the entry."""

    rank: int | None = None
    """1 + the number of entries that are significantly better."""

    worst_rank: int | None = None
    """The number of ranked entries minus those that are significantly worse."""

    value: float | None = None
    """Mean over seeds; the excess over the control if the metric has one."""

    low: float | None = None
    """Lower end of the value's interval."""

    high: float | None = None
    """Upper end of the value's interval."""

    method_value: float | None = None
    """The method's own value."""

    control_value: float | None = None
    """The value of random coalitions of the same sizes."""

    n_seeds: int = 0
    """Number of seeds."""

    cost: MeanCost | None = None
    """Mean cost over seeds."""

    tied_with: list[str] = Field([])
    """The ranked entries that do not differ significantly from this one."""

    reason: str | None = None
    """Why the value or the rank is missing; None if neither is."""

    noise_floor: float | None = None
    """The largest value that the computation returns when the truth is exactly zero."""

    discovery_value: float | None = None
    """The method's own value on the discovery queries, which it has seen."""

    note: str = ""
    """How the number was computed."""

    @property
    def middle_rank(self) -> float | None:
        """The middle of the places that the comparisons allow: `(rank + worst_rank) / 2`."""
        return None if self.rank is None or self.worst_rank is None else (self.rank + self.worst_rank) / 2

    @property
    def below_noise(self) -> bool:
        """Whether the method's own value is within the noise floor."""
        return (
            self.noise_floor is not None
            and self.method_value is not None
            and abs(self.method_value) <= self.noise_floor
        )


class Comparison(Strict):
    """Two entries under one metric, paired over queries."""

    first: str
    """Label of the first entry."""

    second: str
    """Label of the second entry."""

    difference: float
    """First minus second."""

    low: float
    """Lower end of the difference's interval."""

    high: float
    """Upper end of the difference's interval."""

    p: float
    """Two-sided p-value of no difference."""

    p_holm: float
    """The p-value after Holm's correction for all pairs of the table."""


class Agreement(Strict):
    """How well the coalitions of an entry's seeds agree on one task."""

    entry: str
    """Label of the entry."""

    n_seeds: int
    """Number of seeds with coalitions."""

    ami: float | None
    """Adjusted mutual information, mean over pairs of seeds: 1 for equal coalitions, 0 for chance agreement."""

    lowest: float | None
    """Lowest adjusted mutual information of a pair."""

    highest: float | None
    """Highest adjusted mutual information of a pair."""

    reason: str | None = None
    """Why the number is missing; None if it is not."""


class MetricBoard(Strict):
    """One metric on one domain of one task."""

    metric: str
    """Name of the metric."""

    domain: str
    """Name of the domain, e.g. heldout."""

    unit: str
    """Unit of the values."""

    meaning: str
    """What the metric measures, in one sentence."""

    higher_is_better: bool
    """Direction of the metric."""

    primary: bool = True
    """Whether entries are ranked by this metric."""

    n_queries: int
    """Number of queries that most entries were measured on; 0 for metrics without values per query."""

    detectable_difference: float | None
    """Smallest true difference between two typical entries that this many queries detect with probability 0.8.

    Two-sided at 0.05 over all pairs (Bonferroni).
    """

    note: str | None
    """Why nothing is ranked; None if something is."""

    rows: list[Row]
    """One row per entry, best first, then those without a rank."""

    comparisons: list[Comparison]
    """All pairs of ranked entries."""

    @property
    def key(self) -> str:
        """`metric/domain`."""
        return f"{self.metric}/{self.domain}"

    def row(self, entry: str) -> Row:
        """The row of the entry with this label. Raises `KeyError`."""
        for row in self.rows:
            if row.entry == entry:
                return row
        raise KeyError(entry)


class TaskBoard(Strict):
    """One task in one edition: every number comes from the same data, model, protocol and settings."""

    task_name: str
    """Name of the task."""

    task_fingerprint: str
    """Hash of everything that defines the task."""

    protocol: str
    """Version of the protocol."""

    settings: dict[str, JsonValue]
    """Settings of the protocol."""

    info: TaskInfo
    """Facts about the task, from its newest record."""

    seeds: list[int]
    """Seeds of all records."""

    n_records: int
    """Number of records."""

    warnings: list[str]
    """Warnings of the records about the task, each once."""

    notes: list[str]
    """Records that were left out and, if nothing was measured, the reason per entry."""

    metrics: list[MetricBoard]
    """One table per metric and domain, the ranked ones first."""

    agreement: list[Agreement] = Field([])
    """Agreement of seeds, one per entry with a result."""

    @property
    def ranked(self) -> list[MetricBoard]:
        """The tables that are ranked."""
        return [metric for metric in self.metrics if metric.primary]

    @property
    def unranked(self) -> list[MetricBoard]:
        """The tables that are measured but not ranked."""
        return [metric for metric in self.metrics if not metric.primary]


class Column(Strict):
    """A column of the overall table: one ranked table of one task."""

    task_name: str
    """Name of the task."""

    metric: str
    """Name of the metric."""

    domain: str
    """Name of the domain."""


class OverallRow(Strict):
    """One entry over all tasks."""

    entry: str
    """Label of the entry."""

    mean_rank: float | None
    """Mean of the middle ranks over all columns; None unless the entry has a rank in every column."""

    low: float | None
    """Lower end of the mean rank's interval."""

    high: float | None
    """Upper end of the mean rank's interval."""

    ranks: list[int | None]
    """The rank in each column."""

    cost: MeanCost | None
    """Mean cost over tasks."""

    reason: str | None
    """Why the mean rank is missing; None if it is not."""


class Overall(Strict):
    """The overall table: mean rank over all ranked tables."""

    columns: list[Column]
    """The ranked tables."""

    rows: list[OverallRow]
    """One row per entry, best first, then those without a mean rank."""

    note: str | None
    """Why mean ranks have no interval, or what to consider when comparing them."""


class Board(Strict):
    """Everything that a page shows. The same records always make the same board."""

    schema_version: Literal[1] = BOARD_SCHEMA_VERSION
    """Version of this schema."""

    date: str
    """Date of the newest record, ISO 8601."""

    n_records: int
    """Number of records on the board."""

    entries: list[Entry]
    """All contestants, by label."""

    overall: Overall
    """The overall table."""

    tasks: list[TaskBoard]
    """One board per task, by name."""

    def entry(self, label: str) -> Entry:
        """The entry with this label. Raises `KeyError`."""
        for entry in self.entries:
            if entry.label == label:
                return entry
        raise KeyError(label)
