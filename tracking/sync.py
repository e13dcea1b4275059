"""Log to MLflow, after the fact, whatever it lacks of an output folder's records and runs.

A sync can be repeated and interrupted safely: each cell is searched for before it is logged, and each run by its id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from coterie.tracking import mlflow_fields as fields
from coterie.tracking.errors import MlflowError, MlflowUnavailableError
from coterie.tracking.manifest import Run, read_runs
from coterie.tracking.mlflow_fields import milliseconds
from coterie.tracking.mlflow_log import Tracker
from coterie.tracking.record import Record
from coterie.tracking.run_log import sample_points, start_parent
from coterie.tracking.store import RecordStore, Unreadable


@dataclass
class SyncResult:
    """The outcome of a sync."""

    logged: int = 0
    """Number of cells that it logged."""
    known: int = 0
    """Number of cells that were logged before."""
    in_progress: list[str] = field(default_factory=list)
    """Ids of the runs that are still active and log their own cells."""
    refused: list[str] = field(default_factory=list)
    """Records that MLflow refused, each with the reason."""
    unreadable: list[Unreadable] = field(default_factory=list)
    """Files that are not valid records or runs."""


def sync(tracker: Tracker, store: RecordStore, progress: Callable[[int, int], None] = lambda *_: None) -> SyncResult:
    """Log every record of the folder that MLflow lacks, under the run that made it and with its original times.

    Active runs log their own cells, which are skipped. Records of no known run (of an older version, or copied) are
    logged without a parent. `progress` receives the numbers of cells done and in total. `tracker` must be open. Raises
    `MlflowUnavailableError` if the store becomes unavailable.
    """
    result = SyncResult()
    scan = store.scan()
    runs, unreadable = read_runs(store.root)
    result.unreadable = [*scan.unreadable, *unreadable]
    records = {record.result_key: record for record in scan.records}
    total, done = len(records), 0

    def log(record: Record) -> None:
        nonlocal done
        try:
            new = tracker.log(record)
        except MlflowUnavailableError:
            raise
        except MlflowError as error:
            result.refused.append(f"{store.path_for(record)}: {error}")
        else:
            result.logged += new is not None
            result.known += new is None
        done += 1
        progress(done, total)

    for run in runs:
        keys = [cell.result_key for cell in run.cells if not cell.reused]
        own = [record for key in keys if (record := records.pop(key, None)) is not None]
        if run.status == "RUNNING":
            result.in_progress.append(run.run_id)
            done += len(own)
            continue
        _enter(tracker, run)
        for record in own:
            log(record)
        _leave(tracker, run)
    tracker.leave_parent()
    for record in list(records.values()):
        log(record)
    return result


def _enter(tracker: Tracker, run: Run) -> None:
    """Nest the following cells in this run: in MLflow's existing one, else in one created with the first cell."""
    start_parent(tracker, run.header)
    with tracker.guarded():
        found = next(tracker.search(f"tags.`{fields.RUN_TAG}` = '{run.run_id}'"), None)
    if found is not None:
        tracker.resume_parent(found)


def _leave(tracker: Tracker, run: Run) -> None:
    """Complete MLflow's run, if it exists: log what it lacks of the machine's load, its end and its status."""
    if tracker.parent_run_id is None or run.ended is None:
        tracker.leave_parent()
        return
    status = run.end.status if run.end else "KILLED"
    with tracker.guarded():
        logged = tracker.client.get_run(tracker.parent_run_id)
    before = logged.data.tags.get(fields.SAMPLES_TAG, "0")
    samples = [sample_points(sample, step) for step, sample in enumerate(run.samples)]
    tracker.log_samples(samples, int(before) if before.isdigit() else 0)
    if logged.info.status != status:
        tracker.end(status, milliseconds(run.ended))
    tracker.leave_parent()
