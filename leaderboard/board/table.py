"""From records to a board: what is averaged, which entries are ranked and which cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from coterie.leaderboard.board.agreement import agreement_of_seeds
from coterie.leaderboard.board.editions import Edition, EntryKey, Labelled, age, label_records
from coterie.leaderboard.board.overall import compile_overall
from coterie.leaderboard.board.ranking import Contestant, rank_metric
from coterie.leaderboard.board.types import Board, Entry, MeanCost, Row, TaskBoard
from coterie.tracking.record import Measure, Record

REASON_CHARACTERS = 300


def compile_board(records: Iterable[Record]) -> Board:
    """Compile the records of any number of tasks, methods and seeds.

    - If a cell has several records (same identity), only the newest counts.
    - Each task is shown in one edition only, that of the newest record: numbers of different data, models, protocols or
      settings are never mixed. The task's notes count and name what is left out.
    - Entries are compared by one bootstrap, paired over queries and over the seeds of each entry.
    - An entry with a missing, skipped or failed cell is listed without a rank, with the reason.

    Raises `ValueError` without records.
    """
    return compile_labelled(label_records(records))


def compile_labelled(labelled: Labelled) -> Board:
    """Compile records that are already selected and labelled, as `compile_board` does. Raises `ValueError` without records."""
    records = labelled.records
    if not records:
        raise ValueError("expected at least one record to compile a leaderboard from, got none; fix: run `coterie run`")
    entries = _entries(labelled)
    tasks = [_task_board(edition, labelled) for edition in labelled.editions.values()]
    return Board(
        date=max(records, key=age).date,
        n_records=len(records),
        entries=entries,
        overall=compile_overall([entry.label for entry in entries], tasks),
        tasks=tasks,
    )


def _entries(labelled: Labelled) -> list[Entry]:
    latest = {EntryKey.of(record): record for record in sorted(labelled.records, key=age)}
    entries = [
        Entry(
            label=labelled.labels[key],
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


def _task_board(edition: Edition, labelled: Labelled) -> TaskBoard:
    records, notes = edition.records, edition.notes
    newest = max(records, key=age)
    cells: dict[str, list[Record]] = {label: [] for label in sorted(labelled.labels.values())}
    for record in sorted(records, key=lambda r: r.seed):
        cells[labelled.label(record)].append(record)
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
    """One measure of each kind, ranked ones first, otherwise in the protocol's order.

    Measures with the same name, unit and direction are of the same kind. Records with and without a number may disagree
    on whether a measure is ranked: it is ranked if any of them says so.
    """
    found: dict[tuple[str, str, bool], Measure] = {}
    for measure in (measure for record in records for measure in record.scores):
        kind = (measure.key, measure.unit, measure.higher_is_better)
        if kind not in found or measure.primary > found[kind].primary:
            found[kind] = measure
    return sorted(found.values(), key=lambda measure: not measure.primary)


def _contestant(label: str, template: Measure, records: Sequence[Record]) -> Contestant:
    """One entry under one metric, averaged over its seeds; without a value if a cell is unfinished."""
    costs = [MeanCost.of(record.cost) for record in records if record.cost is not None]
    row = Row(entry=label, n_seeds=len(records), cost=MeanCost.mean(costs))
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
    """Why the entry has no result on the task, or None if all its cells finished."""
    if not records:
        return "not run on this task"
    bad = next((record for record in records if record.status != "ok"), None)
    return _short(f"seed {bad.seed} {bad.status}: {bad.reason}") if bad else None


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if len(numbers) == len(values) else None


def _short(text: str) -> str:
    return text if len(text) <= REASON_CHARACTERS else text[: REASON_CHARACTERS - 1] + "…"
