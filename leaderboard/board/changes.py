"""What changed between two sets of records: paired differences over queries, as DataFrames.

Both sides are means over their seeds, compared by `Resampled.minus`: one resample of the queries for both, one of the seeds
for each. A side's random numbers do not depend on the other, so that it is resampled once for all comparisons. All
differences of one table form one family for Holm's correction.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from coterie.leaderboard.board.ranking import ALPHA, Contestant
from coterie.leaderboard.board.types import Row
from coterie.leaderboard.statistics.bootstrap import Difference, Resampled, holm, resample, shared_weights
from coterie.tracking.record import Measure, Record

if TYPE_CHECKING:
    import pandas as pd

HISTORY_COLUMNS = (
    "task", "method", "budget", "metric", "unit", "version", "date", "changed", "code_hash", "git_hash",
    "coterie_version", "environment", "seeds", "n_queries", "value", "low", "high",
    "change", "change_low", "change_high", "p", "p_holm", "verdict", "note",
)  # fmt: skip
COMPARE_COLUMNS = (
    "task", "metric", "method", "method_b", "unit", "n_queries", "seeds_a", "seeds_b", "a", "b", "difference", "low",
    "high", "p", "p_holm", "verdict", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Version:
    """What may differ between two measurements of the same cell, apart from the seed."""

    code: str
    """Hash of the method's code."""

    data: str
    """Fingerprint of the task."""

    git: str
    """Commit of the working tree; empty outside git."""

    coterie: str
    """Version of coterie."""

    environment: str
    """Python, packages, device and platform, as a phrase."""

    @classmethod
    def of(cls, record: Record) -> Version:
        place = record.environment
        packages = ", ".join(f"{name} {version}" for name, version in sorted(place.packages.items()))
        return cls(
            code=record.identity.code_hash,
            data=record.identity.task_fingerprint,
            git=place.git_hash or "",
            coterie=place.coterie_version,
            environment=f"Python {place.python}, {packages}; {place.device}, {place.platform}",
        )

    def changed_since(self, other: Version | None) -> str:
        """The names of the parts that differ."""
        names = [f.name for f in fields(self) if other and getattr(self, f.name) != getattr(other, f.name)]
        return ", ".join(names)


def history_frame(records: Iterable[Record], metrics: Sequence[str] = ()) -> pd.DataFrame:
    """One row per version and metric, oldest first, each version compared with the one before it.

    Versions are compared within one series: the same task, method, parameters, budget, protocol and settings.
    `metrics` are `metric/domain` keys or metric names; by default all ranked ones. `change` is this version's value minus
    that of the version before, on the same queries; `verdict` is `better` or `worse` if the change survives Holm's
    correction at 5 %. `note` says why a value or a comparison is missing.
    """
    import pandas as pd

    series: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        identity = record.identity
        settings = str(sorted(identity.settings.items()))
        key = (record.task_name, record.method.selector, f"{identity.budget:012}", identity.protocol, settings)
        series[key].append(record)
    rows = [row for _, found in sorted(series.items()) for row in _series(found, metrics)]
    _judge(rows)
    return pd.DataFrame(rows, columns=list(HISTORY_COLUMNS))


def compare_frame(first: Iterable[Record], second: Iterable[Record]) -> pd.DataFrame:
    """One row per task, ranked metric and method: second minus first, paired over queries.

    A method that was run with several budgets counts as several methods, named `method (budget 1,000)`. If each side has
    a single method on a task, these two are compared even if they differ. `verdict` says whether the second is `better` or
    `worse` after Holm's correction at 5 %; `note` says why a comparison is missing.
    """
    import pandas as pd

    first, second = list(first), list(second)
    budgets = _several_budgets([*first, *second])
    sides = [_by_method(first, budgets), _by_method(second, budgets)]
    rows: list[dict[str, Any]] = []
    for task in sorted({task for side in sides for task, _ in side}):
        for a, b in _pairs(*({m for t, m in side if t == task} for side in sides)):
            ones, twos = sides[0].get((task, a), []), sides[1].get((task, b), [])
            rows += [_comparison(task, a, b, key, ones, twos) for key in _keys([*ones, *twos], ())]
    _judge(rows)
    return pd.DataFrame(rows, columns=list(COMPARE_COLUMNS))


def _series(records: Sequence[Record], metrics: Sequence[str]) -> list[dict[str, Any]]:
    versions: dict[Version, dict[int, Record]] = defaultdict(dict)
    for record in sorted(records, key=lambda r: r.when):
        versions[Version.of(record)][record.seed] = record  # the newest of each seed
    ordered = sorted(versions.items(), key=lambda item: max(r.when for r in item[1].values()))
    rows = []
    for key in _keys(records, metrics):
        before: list[Record] = []
        last: Version | None = None
        for number, (version, by_seed) in enumerate(ordered, start=1):
            found = [by_seed[seed] for seed in sorted(by_seed)]
            rows.append(_history_row(key, number, version, found, before) | {"changed": version.changed_since(last)})
            last = version
            if any(_measured(record, key) for record in found):
                before = found
    return rows


def _history_row(
    key: str, number: int, version: Version, records: Sequence[Record], before: Sequence[Record]
) -> dict[str, Any]:
    newest = records[-1]
    now, then = _averaged(records, key), _averaged(before, key)
    row = {
        "task": newest.task_name,
        "method": newest.method.selector,
        "budget": newest.identity.budget,
        "metric": key,
        "unit": now.unit,
        "version": number,
        "date": max(record.when for record in records),
        "code_hash": version.code[:12],
        "git_hash": version.git,
        "coterie_version": version.coterie,
        "environment": version.environment,
        "seeds": len(records),
        "n_queries": now.n_queries,
        "note": now.reason,
        "value": now.value,
        "low": now.low,
        "high": now.high,
        "better_up": now.higher_is_better,
    }
    if before and now.value is not None:
        _add_difference(row, ("change", "change_low", "change_high"), then, now)
    return row


def _comparison(task: str, a: str, b: str, key: str, ones: Sequence[Record], twos: Sequence[Record]) -> dict[str, Any]:
    first, second = _averaged(ones, key), _averaged(twos, key)
    row = {
        "task": task,
        "metric": key,
        "method": a,
        "method_b": b,
        "unit": second.unit or first.unit,
        "n_queries": second.n_queries,
        "seeds_a": len(ones),
        "seeds_b": len(twos),
        "a": first.value,
        "b": second.value,
        "note": first.reason or second.reason,
        "better_up": second.higher_is_better,
    }
    if first.value is not None and second.value is not None:
        _add_difference(row, ("difference", "low", "high"), first, second)
    return row


@dataclass(frozen=True)
class _Side:
    """One side of a difference: the mean over seeds with its resamples, or why it cannot be tested."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n_queries: int = 0
    unit: str = ""
    higher_is_better: bool = True
    data: frozenset[tuple[Any, ...]] = frozenset()  # revision of the texts, and number of queries per split
    resampled: Resampled | None = None
    reason: str = ""


def _averaged(records: Sequence[Record], key: str) -> _Side:
    if not records:
        return _Side(reason="not run on this side")
    bad = next((record for record in records if record.status != "ok"), None)
    if bad is not None:
        return _Side(reason=f"seed {bad.seed} {bad.status}: {bad.reason}")
    measures = [measure for record in records if (measure := _measured(record, key))]
    template = records[-1].score(key)
    unit, up = (template.unit, template.higher_is_better) if template else ("", True)
    if len(measures) < len(records):
        missing = next(record for record in records if not _measured(record, key))
        found = missing.score(key)
        return _Side(
            unit=unit, higher_is_better=up, reason=f"seed {missing.seed}: {found.reason if found else 'not measured'}"
        )
    contestant = Contestant.of_seeds(Row(entry=key, value=_mean(measures)), measures)
    arrays = contestant.arrays
    n = arrays[0].shape[1] if arrays else 0
    stream = zlib.crc32("".join(record.identity_digest + record.date for record in records).encode())
    resampled = resample(*arrays, shared_weights(n), stream=stream) if arrays else None
    interval = resampled.interval() if resampled else None
    return _Side(
        value=contestant.row.value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        n_queries=n,
        data=frozenset((r.task.dataset_revision, *sorted(r.task.queries.items())) for r in records),
        resampled=resampled,
        reason=contestant.row.reason or "",
        unit=unit,
        higher_is_better=up,
    )


def _add_difference(row: dict[str, Any], names: tuple[str, str, str], first: _Side, second: _Side) -> None:
    found = _difference(first, second)
    if isinstance(found, str):
        row["note"] = found
        return
    row |= dict(zip(names, (found.value, found.low, found.high), strict=True))
    row["p"], row["note"] = found.p, found.reason or ""


def _difference(first: _Side, second: _Side) -> Difference | str:
    """Second minus first over the same queries, or why they cannot be paired."""
    if first.resampled is None or second.resampled is None:
        return first.reason or second.reason or "not comparable: no values per query"
    if first.data != second.data or first.n_queries != second.n_queries:
        return "not paired: the two sides have different queries or texts"
    return second.resampled.minus(first.resampled)


def _judge(rows: Sequence[dict[str, Any]]) -> None:
    """Add Holm's p-values and verdicts."""
    tested = [row for row in rows if row.get("p") is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        change = row["change"] if "change" in row else row["difference"]
        better = (change > 0) == row["better_up"]
        row["p_holm"] = p
        row["verdict"] = ("better" if better else "worse") if p < ALPHA else "no significant difference"


def _several_budgets(records: Iterable[Record]) -> set[tuple[str, str]]:
    """Tasks and methods with results of more than one budget: these are compared budget by budget, not newest with newest."""
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for record in records:
        found[record.task_name, record.method.selector].add(record.identity.budget)
    return {key for key, budgets in found.items() if len(budgets) > 1}


def _by_method(
    records: Iterable[Record], several_budgets: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], list[Record]]:
    """The newest record of each seed, by task and method, and by budget if there are several."""
    found: dict[tuple[str, str], dict[int, Record]] = defaultdict(dict)
    for record in sorted(records, key=lambda r: r.when):
        task, method = record.task_name, record.method.selector
        if (task, method) in several_budgets:
            method = f"{method} (budget {record.identity.budget:,})"
        found[task, method][record.seed] = record
    return {key: [by_seed[seed] for seed in sorted(by_seed)] for key, by_seed in found.items()}


def _pairs(first: set[str], second: set[str]) -> list[tuple[str, str]]:
    if len(first) == len(second) == 1:
        return [(next(iter(first)), next(iter(second)))]
    return [(name, name) for name in sorted(first | second)]


def _keys(records: Sequence[Record], metrics: Sequence[str]) -> list[str]:
    """Keys of the requested measures, by default of the ranked ones, in the protocol's order."""
    found = [measure for record in records for measure in record.scores]
    chosen = [m.key for m in found if ({m.key, m.metric} & set(metrics) if metrics else m.primary)]
    return list(dict.fromkeys(chosen))


def _measured(record: Record, key: str) -> Measure | None:
    measure = record.score(key)
    return measure if measure is not None and measure.value is not None else None


def _mean(measures: Sequence[Measure]) -> float:
    return sum(m.value for m in measures if m.value is not None) / len(measures)
