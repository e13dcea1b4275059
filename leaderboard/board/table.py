"""Records -> board: which records belong together, what is averaged, who is ranked and who cannot be."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from statistics import fmean

from coterie.leaderboard.board.agreement import agreement_of_seeds
from coterie.leaderboard.board.overall import compile_overall
from coterie.leaderboard.board.ranking import Contestant, rank_metric
from coterie.leaderboard.board.types import (
    Board,
    Entry,
    MeanCost,
    Row,
    TaskBoard,
)
from coterie.tracking.record import Measure, Record

REASON_CHARACTERS = 300


@dataclass(frozen=True)
class _Edition:
    """What must be equal for two numbers of one task to stand in one table."""

    task_fingerprint: str
    dataset_revision: str
    protocol: str
    settings: str

    @classmethod
    def of(cls, record: Record) -> _Edition:
        identity = record.identity
        settings = json.dumps(identity.settings, sort_keys=True)
        return cls(identity.task_fingerprint, record.task.dataset_revision, identity.protocol, settings)

    def differences(self, shown: _Edition) -> str:
        """In words, what separates this edition from the one that is shown."""
        parts = []
        if self.protocol != shown.protocol:
            parts.append(f"protocol {self.protocol} instead of {shown.protocol}")
        if self.dataset_revision != shown.dataset_revision:
            parts.append(f"data {self.dataset_revision} instead of {shown.dataset_revision}")
        if self.settings != shown.settings:
            parts.append(f"settings {self.settings} instead of {shown.settings}")
        if self.task_fingerprint != shown.task_fingerprint:
            parts.append(f"task fingerprint {self.task_fingerprint[:12]} instead of {shown.task_fingerprint[:12]}")
        return ", ".join(parts)


@dataclass(frozen=True)
class _Key:
    """What makes two records seeds of the same entry. Protocol and settings are equal within a task's edition."""

    method_name: str
    parameters: str
    budget: int
    code_hash: str

    @classmethod
    def of(cls, record: Record) -> _Key:
        identity = record.identity
        parameters = json.dumps(identity.parameters, sort_keys=True)
        return cls(identity.method_name, parameters, identity.budget, identity.code_hash)


def compile_board(records: Iterable[Record]) -> Board:
    """Compile the records of any number of tasks, methods and seeds.

    - A cell that occurs twice (same identity) counts once: the newest.
    - Per task only one edition is shown, that of the newest record: numbers of different data, models, protocols or
      settings are never mixed. What is left out is counted and named in the task's notes.
    - One bootstrap over queries, paired, and over the seeds of each entry compares the entries.
    - An entry with a missing, skipped or failed cell is listed without a rank, with the reason.

    Raises ``ValueError`` if there are no records.
    """
    editions = _editions(records)
    if not editions:
        raise ValueError("expected at least one record to compile a leaderboard from, got none; fix: run `coterie run`")
    shown = [record for found, _ in editions.values() for record in found]
    labels = _labels(shown)
    tasks = [_task_board(found, notes, labels) for found, notes in editions.values()]
    entries = _entries(shown, labels)
    return Board(
        date=max(shown, key=_age).date,
        n_records=len(shown),
        entries=entries,
        overall=compile_overall([entry.label for entry in entries], tasks),
        tasks=tasks,
    )


def shown_records(records: Iterable[Record]) -> list[tuple[str, Record]]:
    """(entry label, record) for every record that the board of ``records`` counts, by task, method and seed."""
    shown = [record for found, _ in _editions(records).values() for record in found]
    labels = _labels(shown)
    placed = [(labels[_Key.of(record)], record) for record in shown]
    return sorted(placed, key=lambda pair: (pair[1].task_name, pair[0], pair[1].seed))


def _editions(records: Iterable[Record]) -> dict[str, tuple[list[Record], list[str]]]:
    """Task -> the records that count, newest edition and newest of each cell, and notes about what is left out."""
    in_order = sorted(records, key=_age)
    newest = {(record.identity_digest, record.task.dataset_revision): record for record in in_order}
    by_task = defaultdict(list)
    for record in sorted(newest.values(), key=_age):
        by_task[record.task_name].append(record)
    return {task: _newest_edition(found) for task, found in sorted(by_task.items())}


def _age(record: Record) -> tuple[datetime, str, bool]:
    """Sorts oldest first; what makes two records of the same second differ makes their order the same every time."""
    return record.when, record.identity_digest, record.status == "ok"


def _newest_edition(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """The records of the newest record's edition, and a note for every other one."""
    groups: dict[_Edition, list[Record]] = defaultdict(list)
    for record in records:  # oldest first
        groups[_Edition.of(record)].append(record)
    shown = _Edition.of(records[-1])
    notes = [
        f"{len(found)} older record{'s are' if len(found) > 1 else ' is'} left out: {edition.differences(shown)}"
        for edition, found in groups.items()
        if edition != shown
    ]
    return groups[shown], notes


def _labels(records: Sequence[Record]) -> dict[_Key, str]:
    """A unique name for each entry: its selector, and what tells it from others of the same selector."""
    selectors = {_Key.of(record): record.method.selector for record in records}
    shared = defaultdict(list)
    for key, selector in selectors.items():
        shared[selector].append(key)
    labels: dict[_Key, str] = {}
    for selector, keys in shared.items():
        for key in keys:
            parts = [f"budget {key.budget:,}"] if len({k.budget for k in keys}) > 1 else []
            parts += [f"code {key.code_hash[:7]}"] if len({k.code_hash for k in keys}) > 1 else []
            parts += [f"parameters {key.parameters}"] if len({k.parameters for k in keys}) > 1 else []
            parts += [f"method {key.method_name}"] if len({k.method_name for k in keys}) > 1 else []
            label = f"{selector} ({', '.join(parts)})" if parts else selector
            labels[key] = _free(label, labels.values())
    return labels


def _free(label: str, taken: Collection[str]) -> str:
    """The label, numbered if another entry has it: code hashes may agree in what is shown of them."""
    names = chain([label], (f"{label} #{n}" for n in count(2)))
    return next(name for name in names if name not in taken)


def _entries(records: Sequence[Record], labels: dict[_Key, str]) -> list[Entry]:
    latest = {_Key.of(record): record for record in sorted(records, key=_age)}
    entries = [
        Entry(
            label=labels[key],
            selector=record.method.selector,
            method_name=record.method_name,
            parameters=record.identity.parameters,
            budget=record.identity.budget,
            code_hash=record.identity.code_hash,
            sees=record.method.sees,
            summary=record.method.summary,
            reference=record.method.reference,
            date=record.date,
        )
        for key, record in latest.items()
    ]
    return sorted(entries, key=lambda entry: entry.label)


def _task_board(records: Sequence[Record], notes: list[str], labels: dict[_Key, str]) -> TaskBoard:
    newest = max(records, key=_age)
    cells: dict[str, list[Record]] = {label: [] for label in sorted(labels.values())}
    for record in sorted(records, key=lambda r: r.seed):
        cells[labels[_Key.of(record)]].append(record)
    templates = _templates(records)
    if not templates:
        notes = [*notes, *(f"{label}: {_unfinished(found)}" for label, found in cells.items() if found)]
    done = {label: [r for r in found if r.status == "ok"] for label, found in cells.items() if found}
    return TaskBoard(
        task_name=newest.task_name,
        task_fingerprint=newest.identity.task_fingerprint,
        protocol=newest.identity.protocol,
        settings=newest.identity.settings,
        info=newest.task,
        seeds=sorted({record.seed for record in records}),
        n_records=len(records),
        warnings=list(dict.fromkeys(warning for record in records for warning in record.task.warnings)),
        notes=notes,
        metrics=[
            rank_metric(template, [_contestant(label, template, found) for label, found in cells.items()])
            for template in templates
        ],
        agreement=[agreement_of_seeds(label, found) for label, found in done.items()],
    )


def _templates(records: Sequence[Record]) -> list[Measure]:
    """One measure of each kind, the ranked ones first, else in the protocol's order. Same name, unit, direction: same kind.

    The records of a finished cell and of one without a number may differ in what is ranked: it is ranked if any says so.
    """
    found: dict[tuple[str, str, bool], Measure] = {}
    for measure in (measure for record in records for measure in record.scores):
        kind = (measure.key, measure.unit, measure.higher_is_better)
        if kind not in found or measure.primary > found[kind].primary:
            found[kind] = measure
    return sorted(found.values(), key=lambda measure: not measure.primary)


def _contestant(label: str, template: Measure, records: Sequence[Record]) -> Contestant:
    """One entry under one metric, averaged over its seeds; unfinished cells leave it without a value."""
    row = Row(entry=label, n_seeds=len(records), cost=_mean_cost(records))
    if reason := _unfinished(records):
        return Contestant(row.model_copy(update={"reason": reason}))
    measures = []
    for record in records:
        measure = _same_kind(record, template)
        if measure is None or measure.value is None:
            reason = f"seed {record.seed}: {measure.reason if measure else 'not measured'}"
            return Contestant(row.model_copy(update={"reason": _short(reason)}))
        measures.append(measure)
    means: dict[str, object] = {
        name: _mean([getattr(measure, name) for measure in measures])
        for name in ("value", "method_value", "control_value", "discovery_value")
    }
    means["noise_floor"] = max((m.noise_floor for m in measures if m.noise_floor is not None), default=None)
    means["note"] = measures[0].note
    return Contestant.of_seeds(row.model_copy(update=means), measures)


def _same_kind(record: Record, template: Measure) -> Measure | None:
    measure = record.score(template.key)
    same = measure and (measure.unit, measure.higher_is_better) == (template.unit, template.higher_is_better)
    return measure if same else None


def _unfinished(records: Sequence[Record]) -> str | None:
    """Why this entry has no result on the task, if so."""
    if not records:
        return "not run on this task"
    bad = next((record for record in records if record.status != "ok"), None)
    return _short(f"seed {bad.seed} {bad.status}: {bad.reason}") if bad else None


def _mean_cost(records: Sequence[Record]) -> MeanCost | None:
    costs = [record.cost for record in records if record.cost is not None]
    if not costs:
        return None
    kinds = sorted({kind for cost in costs for kind in cost.evaluations})
    by_kind = {kind: fmean(cost.evaluations.get(kind, 0) for cost in costs) for kind in kinds}
    return MeanCost(
        evaluations=sum(by_kind.values()),
        evaluations_by_kind=by_kind,
        discovery_seconds=fmean(cost.discovery_seconds for cost in costs),
        scoring_seconds=fmean(cost.scoring_seconds for cost in costs),
        peak_memory_bytes=fmean(cost.peak_memory_bytes for cost in costs),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if len(numbers) == len(values) else None


def _short(text: str) -> str:
    return text if len(text) <= REASON_CHARACTERS else text[: REASON_CHARACTERS - 1] + "…"
