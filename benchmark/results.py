"""Runs over time: what ``coterie runs``, ``history``, ``compare`` and ``sync`` print, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore
from coterie.tracking.sync import Synced
from coterie.tracking.sync import sync as sync_into
from coterie.tracking.uris import resolve_uri, sqlite_path

if TYPE_CHECKING:
    import pandas as pd

RUN_COLUMNS = ("run", "name", "started", "minutes", "status", "cells", "reused", "failed", "skipped")
OUTPUT = Path("coterie-out")


def runs(output_folder: str | Path = OUTPUT, tracking_uri: str | None = None) -> pd.DataFrame:
    """The runs of an output folder, or, with a URI, of that MLflow store, in the order in which they started."""
    import pandas as pd

    folder = Path(output_folder)
    if tracking_uri is not None:
        store = MlflowStore(tracking_uri, folder).open()
        rows: list[dict[str, object]] = [
            {
                "run": run.run_id,
                "name": run.name,
                "started": run.started,
                "minutes": (run.ended - run.started).total_seconds() / 60 if run.ended else None,
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
    say: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """One cell over code versions, dates and environments: see ``coterie.leaderboard.board.changes.history_frame``.

    ``method`` is a selector (``name[parameter=value]``) or a name, which takes all parameters. Records come from the
    output folders and from the MLflow store that is in force for the first of them, which also has those that were
    replaced on disk since. ``say`` is told what could not be read. Raises ``UsageError`` if there is nothing.
    """
    from coterie.leaderboard.board.changes import history_frame

    name = method.partition("[")[0]
    found: dict[tuple[str, str, str], Record] = {}
    for folder in map(Path, output_folders):
        scan = RecordStore(folder).scan_cell(task, name)
        found |= {(r.identity_digest, r.status, r.date): r for r in scan.records}
        for unreadable in scan.unreadable:
            say(f"left out: {unreadable}")
    folder = Path(output_folders[0])
    path = sqlite_path(resolve_uri(tracking_uri, folder))
    if path is None or path.exists():
        try:
            tracked = records_of_cell(MlflowStore(tracking_uri, folder).open(), task, name, found.keys())
            found |= {(r.identity_digest, r.status, r.date): r for r in tracked}
        except MlflowError as error:
            say(f"only the records on disk: {error}")
    records = [r for r in found.values() if method in (r.method.selector, r.method_name)]
    if not records:
        raise UsageError(
            f"expected records of {method!r} on {task!r}, got none in {', '.join(map(str, output_folders))} nor in MLflow; "
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
    say: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Paired differences B minus A per task, metric and method: see ``coterie.leaderboard.board.changes.compare_frame``.

    A run is an output folder, the id of a run in ``output_folder`` (``coterie runs``), or an MLflow run id. A run is
    compared by its own results: those that a later run replaced on disk are taken from MLflow; ``say`` gets a line for those
    that are not there either.
    """
    from coterie.leaderboard.board.changes import compare_frame

    sides = [records_of(run, Path(output_folder), tracking_uri, say) for run in (run_a, run_b)]
    return compare_frame(*sides)


def records_of(
    run: str, output_folder: Path, tracking_uri: str | None, say: Callable[[str], None] = lambda _: None
) -> list[Record]:
    """The records of a run, however it is named. Raises ``UsageError`` or ``MlflowError``."""
    if is_mlflow_run_id(run):
        return _some(run, records_of_run(MlflowStore(tracking_uri, output_folder).open(), run))
    found, _ = read_runs(output_folder)
    known = {r.run_id: r for r in found}
    if run in known:
        return _some(run, _results_of(known[run], output_folder, tracking_uri, say))
    if Path(run).is_dir():
        return _some(run, RecordStore(Path(run)).all())
    raise UsageError(
        f"{run!r}: expected an output folder, a run of {output_folder} or an MLflow run id; fix: coterie runs lists them"
    )


def _results_of(run: Run, output_folder: Path, tracking_uri: str | None, say: Callable[[str], None]) -> list[Record]:
    """The run's own results: from disk and, where a later run has replaced them there, from MLflow."""
    keys = {(cell.cell, cell.status, cell.date) for cell in run.cells}
    on_disk = {(r.identity_digest, r.status, r.date): r for r in RecordStore(output_folder).all()}
    found = [on_disk[key] for key in sorted(keys & on_disk.keys())]
    replaced = keys - on_disk.keys()
    if not replaced:
        return found
    why = "MLflow does not have them"
    path = sqlite_path(resolve_uri(tracking_uri, output_folder))
    if path is None or path.exists():
        try:
            tracked = records_of_results(MlflowStore(tracking_uri, output_folder).open(), replaced)
            found += tracked
            replaced -= {(r.identity_digest, r.status, r.date) for r in tracked}
        except MlflowError as error:
            why = str(error)
    if replaced:
        say(
            f"{run.run_id}: left out {len(replaced)} of {len(keys)} cells, whose results are no longer on disk (run again "
            f"or removed since): {why}; fix: --tracking-uri with the store that the run was logged to"
        )
    return found


def sync(
    output_folder: str | Path = OUTPUT,
    tracking_uri: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Synced:
    """Log what MLflow lacks of an output folder's records and runs. Raises ``MlflowError``."""
    store = RecordStore(Path(output_folder))
    if not store.folder.is_dir():
        raise UsageError(f"{output_folder}: no records there; fix: name the folder that coterie run wrote to")
    return sync_into(Tracker(tracking_uri, Path(output_folder)).open(), store, progress)


def _some(run: str, records: list[Record]) -> list[Record]:
    if not records:
        raise UsageError(f"{run!r}: expected finished cells, got none")
    return records


def _run_row(run: Run) -> dict[str, object]:
    ended = None if run.status == "RUNNING" else run.ended
    return {
        "run": run.run_id,
        "name": run.header.name,
        "started": run.started,
        "minutes": (ended - run.started).total_seconds() / 60 if ended else None,
        "status": run.status,
        "cells": len(run.cells),
        "reused": sum(cell.reused for cell in run.cells),
        "failed": sum(cell.status in ("failed", "timeout") for cell in run.cells),
        "skipped": sum(cell.status == "skipped" for cell in run.cells),
    }
