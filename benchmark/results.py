"""Results over time: what `coterie runs`, `history`, `compare` and `sync` print, as DataFrames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from coterie.benchmark.errors import UsageError
from coterie.tracking.errors import MlflowError
from coterie.tracking.manifest import Run, read_runs
from coterie.tracking.mlflow_log import Tracker
from coterie.tracking.mlflow_read import (
    is_mlflow_run_id,
    records_of_cell,
    records_of_results,
    records_of_run,
    tracked_runs,
)
from coterie.tracking.mlflow_store import MlflowStore
from coterie.tracking.record import BROKEN, Record, ResultKey
from coterie.tracking.store import RecordStore
from coterie.tracking.sync import SyncResult
from coterie.tracking.sync import sync as sync_into
from coterie.tracking.uris import resolve_uri, sqlite_path

if TYPE_CHECKING:
    import pandas as pd

RUN_COLUMNS = ("run", "name", "started", "minutes", "status", "cells", "reused", "failed", "skipped")
OUTPUT = Path("coterie-out")


def runs(output_folder: str | Path = OUTPUT, tracking_uri: str | None = None) -> pd.DataFrame:
    """The runs of an output folder or, with a URI, of that MLflow store, in the order in which they started."""
    import pandas as pd

    folder = Path(output_folder)
    if tracking_uri is not None:
        store = MlflowStore(tracking_uri, folder).open()
        rows: list[dict[str, object]] = [
            {
                "run": run.run_id,
                "name": run.name,
                "started": run.started,
                "minutes": _minutes(run.started, run.ended),
                "status": run.status,
            }
            for run in tracked_runs(store)
        ]
    else:
        rows = [_run_row(run) for run in read_runs(folder)[0]]
    return pd.DataFrame(rows, columns=list(RUN_COLUMNS))


def history(
    task: str,
    method: str,
    metrics: Sequence[str] = (),
    output_folders: Sequence[str | Path] = (OUTPUT,),
    tracking_uri: str | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """One cell over code versions, dates and environments: see `coterie.leaderboard.board.changes.history_frame`.

    `method` is a selector (`name[parameter=value]`), or a name to match all parameters. Records come from the output
    folders and from the first folder's MLflow store, which also keeps records since replaced on disk. `warn` receives one
    line for each source that could not be read. Raises `UsageError` if nothing is found.
    """
    from coterie.leaderboard.board.changes import history_frame

    name = method.partition("[")[0]
    found: dict[ResultKey, Record] = {}
    for folder in map(Path, output_folders):
        scan = RecordStore(folder).scan_cell(task, name)
        found |= {record.result_key: record for record in scan.records}
        for unreadable in scan.unreadable:
            warn(f"left out: {unreadable}")
    folder = Path(output_folders[0])
    if _store_exists(tracking_uri, folder):
        try:
            tracked = records_of_cell(MlflowStore(tracking_uri, folder).open(), task, name, found.keys())
            found |= {record.result_key: record for record in tracked}
        except MlflowError as error:
            warn(f"using only the records on disk: {error}")
    records = [r for r in found.values() if method in (r.method.selector, r.method_name)]
    if not records:
        raise UsageError(
            f"expected records of {method!r} on {task!r}, got none in {', '.join(map(str, output_folders))} or in MLflow; "
            f"fix: coterie run -t {task!r} -m {method!r}, or name another --output-folder"
        )
    frame = history_frame(records, metrics)
    if frame.empty:
        known = sorted({measure.key for record in records for measure in record.scores})
        raise UsageError(f"no such metric in these records: {', '.join(metrics)}; known: {', '.join(known) or 'none'}")
    return frame


def compare(
    run_a: str,
    run_b: str,
    output_folder: str | Path = OUTPUT,
    tracking_uri: str | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Paired differences B minus A per task, metric and method: see `coterie.leaderboard.board.changes.compare_frame`.

    A run is an output folder, the id of a run in `output_folder` (see `coterie runs`), or an MLflow run id. Each run is
    compared by its own results: those that a later run replaced on disk are read from MLflow. `warn` receives one line if some
    are missing there too.
    """
    from coterie.leaderboard.board.changes import compare_frame

    sides = [_records_of(run, Path(output_folder), tracking_uri, warn) for run in (run_a, run_b)]
    return compare_frame(*sides)


def _records_of(run: str, output_folder: Path, tracking_uri: str | None, warn: Callable[[str], None]) -> list[Record]:
    """The records of a run, named in any of the ways that `compare` accepts. Raises `UsageError` or `MlflowError`."""
    if is_mlflow_run_id(run):
        return _not_empty(run, records_of_run(MlflowStore(tracking_uri, output_folder).open(), run))
    found, _ = read_runs(output_folder)
    known = {r.run_id: r for r in found}
    if run in known:
        return _not_empty(run, _results_of(known[run], output_folder, tracking_uri, warn))
    if Path(run).is_dir():
        return _not_empty(run, RecordStore(Path(run)).all())
    raise UsageError(
        f"{run!r}: expected an output folder, a run of {output_folder} or an MLflow run id; fix: use an id from coterie runs"
    )


def _results_of(run: Run, output_folder: Path, tracking_uri: str | None, warn: Callable[[str], None]) -> list[Record]:
    """The run's own results: from disk or, if a later run replaced them there, from MLflow."""
    keys = {cell.result_key for cell in run.cells}
    on_disk = {record.result_key: record for record in RecordStore(output_folder).all()}
    found = [on_disk[key] for key in sorted(keys & on_disk.keys())]
    replaced = keys - on_disk.keys()
    if not replaced:
        return found
    why = "MLflow does not have them"
    if _store_exists(tracking_uri, output_folder):
        try:
            tracked = records_of_results(MlflowStore(tracking_uri, output_folder).open(), replaced)
            found += tracked
            replaced -= {record.result_key for record in tracked}
        except MlflowError as error:
            why = str(error)
    if replaced:
        warn(
            f"{run.run_id}: left out {len(replaced)} of {len(keys)} cells, whose results are no longer on disk (since run "
            f"again or removed): {why}; fix: pass --tracking-uri with the store that the run was logged to"
        )
    return found


def _store_exists(tracking_uri: str | None, output_folder: Path) -> bool:
    """Whether the store exists: false only for a missing sqlite file, which opening the store would create."""
    path = sqlite_path(resolve_uri(tracking_uri, output_folder))
    return path is None or path.exists()


def sync(
    output_folder: str | Path = OUTPUT,
    tracking_uri: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> SyncResult:
    """Log to MLflow the records and runs of an output folder that it lacks. Raises `UsageError` or `MlflowError`."""
    store = RecordStore(Path(output_folder))
    if not store.folder.is_dir():
        raise UsageError(
            f"{output_folder}: expected a folder with records, got none; fix: name one that coterie run wrote"
        )
    return sync_into(Tracker(tracking_uri, Path(output_folder)).open(), store, progress)


def _not_empty(run: str, records: list[Record]) -> list[Record]:
    if not records:
        raise UsageError(f"{run!r}: expected finished cells, got none; fix: choose another run from coterie runs")
    return records


def _minutes(started: datetime, ended: datetime | None) -> float | None:
    return (ended - started).total_seconds() / 60 if ended else None


def _run_row(run: Run) -> dict[str, object]:
    return {
        "run": run.run_id,
        "name": run.header.name,
        "started": run.started,
        "minutes": None if run.status == "RUNNING" else _minutes(run.started, run.ended),
        "status": run.status,
        "cells": len(run.cells),
        "reused": sum(cell.reused for cell in run.cells),
        "failed": sum(cell.status in BROKEN for cell in run.cells),
        "skipped": sum(cell.status == "skipped" for cell in run.cells),
    }
