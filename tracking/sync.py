"""Records and runs of an output folder into MLflow, afterwards: what is missing there and nothing else.

Safe to repeat and to interrupt: every cell is looked for before it is logged, every run by its id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from coterie.tracking import mlflow_fields as fields
from coterie.tracking.errors import MlflowAwayError, MlflowError
from coterie.tracking.manifest import Run, read_runs
from coterie.tracking.mlflow_log import Key, Tracker
from coterie.tracking.record import Record
from coterie.tracking.run_log import milliseconds, parent_tags, sample_points
from coterie.tracking.store import RecordStore, Unreadable


@dataclass
class Synced:
    """What was done: cells logged now, cells that were there, runs that are still being written, and what went wrong."""

    logged: int = 0
    known: int = 0
    in_progress: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


def sync(tracker: Tracker, store: RecordStore, progress: Callable[[int, int], None] = lambda *_: None) -> Synced:
    """Log every record of the folder that the store lacks, each under the run that made it, with the times it had.

    Cells of a run that still works are left to it. Records of no known run (of an older version, or copied) are
    logged without a parent. ``tracker`` is open. Raises ``MlflowAwayError`` if the store goes away meanwhile.
    """
    result = Synced()
    scan = store.scan()
    runs, unreadable = read_runs(store.root)
    result.unreadable = [*scan.unreadable, *unreadable]
    records: dict[Key, Record] = {(r.identity_digest, r.status, r.date): r for r in scan.records}
    total, done = len(records), 0

    def log(record: Record) -> None:
        nonlocal done
        try:
            new = tracker.log(record)
        except MlflowAwayError:
            raise
        except MlflowError as error:
            result.refused.append(f"{store.path_for(record)}: {error}")
        else:
            result.logged += new is not None
            result.known += new is None
        done += 1
        progress(done, total)

    for run in runs:
        keys: list[Key] = [(cell.cell, cell.status, cell.date) for cell in run.cells if not cell.reused]
        own = [record for key in keys if (record := records.pop(key, None)) is not None]
        if run.status == "RUNNING":
            result.in_progress.append(run.run_id)
            done += len(own)
            continue
        _under(tracker, run)
        for record in own:
            log(record)
        _finish(tracker, run)
    tracker.leave_parent()
    for record in list(records.values()):
        log(record)
    return result


def _under(tracker: Tracker, run: Run) -> None:
    """Let cells be nested in this run: as it is in the store, or as it will appear there with the first of them."""
    header = run.header
    tracker.start_parent(header.name, parent_tags(header), header.params, milliseconds(header.started))
    with tracker.speaking():
        found = next(tracker.search(f"tags.`{fields.RUN_TAG}` = '{run.run_id}'"), None)
    if found is not None:
        tracker.resume_parent(found)


def _finish(tracker: Tracker, run: Run) -> None:
    """Give the run's load, end and status, if it is there and lacks them."""
    if tracker.parent_run_id is None or run.ended is None:
        tracker.leave_parent()
        return
    status = run.end.status if run.end else "KILLED"
    with tracker.speaking():
        there = tracker.client.get_run(tracker.parent_run_id)
    before = there.data.tags.get(fields.SAMPLES_TAG, "0")
    samples = [sample_points(sample, step) for step, sample in enumerate(run.samples)]
    tracker.log_samples(samples, int(before) if before.isdigit() else 0)
    if there.info.status != status:
        tracker.end(status, round(run.ended.timestamp() * 1000))
    tracker.leave_parent()
