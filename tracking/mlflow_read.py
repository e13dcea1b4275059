"""Read from MLflow: its runs, and the records of their cells."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from coterie.tracking import mlflow_fields as fields
from coterie.tracking.errors import MlflowError
from coterie.tracking.mlflow_log import result_in
from coterie.tracking.mlflow_store import MlflowStore
from coterie.tracking.record import Record, ResultKey, is_name
from coterie.tracking.text import first_problem

if TYPE_CHECKING:
    from mlflow.entities import Run

_RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class TrackedRun:
    """A parent run in MLflow."""

    run_id: str
    """MLflow's id of the run."""
    coterie_run: str
    """Its id on disk."""
    number: int
    """Its number on disk, which orders the runs of a folder."""
    name: str
    """The suite's name."""
    started: datetime
    """When it started, in UTC."""
    ended: datetime | None
    """When it ended, in UTC; None if it has not."""
    status: str
    """MLflow's status: `RUNNING`, `FINISHED`, `FAILED` or `KILLED`."""


def is_mlflow_run_id(text: str) -> bool:
    """Whether the text is 32 hexadecimal digits."""
    return bool(_RUN_ID.fullmatch(text))


def tracked_runs(store: MlflowStore) -> list[TrackedRun]:
    """The parent runs of the experiment in the order in which they started.

    MLflow stores the start to the millisecond; runs of one folder that agree in it are ordered by their numbers.
    """
    with store.guarded():
        runs = list(store.search(f"tags.`{fields.KIND_TAG}` = 'run'"))
    found = [
        TrackedRun(
            run_id=run.info.run_id,
            coterie_run=run.data.tags.get(fields.RUN_TAG, ""),
            number=_whole(run.data.tags.get(fields.NUMBER_TAG, "")),
            name=run.info.run_name,
            started=_moment(run.info.start_time),
            ended=_moment(run.info.end_time) if run.info.end_time else None,
            status=run.info.status,
        )
        for run in runs
    ]
    return sorted(found, key=lambda run: (run.started, run.number, run.coterie_run, run.run_id))


def records_of_run(store: MlflowStore, run_id: str) -> list[Record]:
    """The records of a parent run's finished cells, or of a single cell's run. Raises `MlflowError`."""
    if not is_mlflow_run_id(run_id):
        raise MlflowError(f"expected an MLflow run id (32 hexadecimal digits), got {run_id!r}; fix: coterie runs")
    with store.guarded():
        found = list(store.search(f"tags.`mlflow.parentRunId` = '{run_id}'")) or [store.client.get_run(run_id)]
        return list(_records(store, found))


def records_of_cell(store: MlflowStore, task: str, method: str, known: Collection[ResultKey] = ()) -> list[Record]:
    """All records of this task and method, by name, that were ever logged, except those in `known`."""
    if not (is_name(task) and is_name(method)):
        return []
    condition = f"params.task_name = '{task}' and params.method_name = '{method}'"
    with store.guarded():
        return list(_records(store, store.search(condition), frozenset(known)))


def records_of_results(store: MlflowStore, keys: Collection[ResultKey]) -> list[Record]:
    """The records of these results that the store has, without duplicates."""
    found: dict[ResultKey, Record] = {}
    with store.guarded():
        for digest in sorted({identity for identity, _, _ in keys}):
            runs = store.search(f"tags.`{fields.IDENTITY_TAG}` = '{digest}'")
            wanted = [run for run in runs if result_in(run) in keys]
            found |= {record.result_key: record for record in _records(store, wanted)}
    return list(found.values())


def _records(
    store: MlflowStore, runs: Collection[Run] | Iterator[Run], known: frozenset[ResultKey] = frozenset()
) -> Iterator[Record]:
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory(prefix="coterie-") as folder:
        for run in runs:
            key = result_in(run)
            if run.data.tags.get(fields.KIND_TAG) != "cell" or key is None or key in known:
                continue
            path = download_artifacts(
                artifact_uri=f"{run.info.artifact_uri}/record.json", dst_path=folder, tracking_uri=store.uri
            )
            try:
                yield Record.from_json(Path(path).read_bytes())
            except ValidationError as error:
                raise MlflowError(
                    f"{store.display_uri}: run {run.info.run_id}: expected a record in record.json, got: "
                    f"{first_problem(error)}; fix: delete that run, then log the cell again with coterie sync"
                ) from error


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
