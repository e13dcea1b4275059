"""Log records to MLflow: one parent run per `coterie run` and one nested run per cell, written by a single process.

The records on disk are the source of truth, and MLflow is a view of them: missing cells can be logged later, and a result
is never logged twice.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from coterie.tracking import mlflow_fields as fields
from coterie.tracking.manifest import EndStatus
from coterie.tracking.mlflow_fields import Point
from coterie.tracking.mlflow_store import MlflowStore, owner_alive
from coterie.tracking.processes import this_process
from coterie.tracking.record import Record, ResultKey
from coterie.tracking.scores_plot import scores_svg

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class _Parent:
    """A parent run, created when the first cell is logged under it."""

    name: str
    """Name of the run."""
    tags: Mapping[str, str]
    """Its tags."""
    params: Mapping[str, Any]
    """Its parameters."""
    start: int = field(default_factory=lambda: round(time.time() * 1000))
    """When it started, in milliseconds since 1970."""


class Tracker(MlflowStore):
    """Writes records to one MLflow experiment. Only one process of a run may open one.

    with Tracker(None, output_folder) as tracker:
        tracker.start_parent("quick", tags={"coterie.suite": "quick"}, params={"seeds": 2})
        for record in records:
            tracker.log(record)
    """

    def __init__(self, tracking_uri: str | None, output_folder: Path, experiment: str | None = None) -> None:
        super().__init__(tracking_uri, output_folder, experiment)
        self._parent: _Parent | None = None
        self._known: set[ResultKey] | None = None
        self.parent_run_id: str | None = None

    def start_parent(
        self, name: str, tags: Mapping[str, str], params: Mapping[str, Any], start: int | None = None
    ) -> None:
        """Nest the following cells in a new run of this name, which started at `start` (milliseconds since 1970, or now).

        The run is created with the first cell, so that a `coterie run` with nothing to do leaves no empty run behind.
        """
        when = {} if start is None else {"start": start}
        self._parent, self.parent_run_id = _Parent(name, dict(tags), dict(params), **when), None

    def resume_parent(self, run: Run) -> None:
        """Nest the following cells in this existing run."""
        self.parent_run_id = str(run.info.run_id)

    def leave_parent(self) -> None:
        """Log the following cells without a parent. The current parent run is not ended."""
        self._parent, self.parent_run_id = None, None

    def log(self, record: Record, *, is_new: bool = False) -> str | None:
        """Log one cell as a nested run and return the run's id, or None if this result is already logged.

        A result counts as logged if an ended run has the same identity, status and date. `is_new` skips the search for
        one, for a cell that has just been run.
        """
        with self.guarded():
            if not is_new and self._is_known(record):
                return None
            start, end = fields.times(record)
            tags = {**fields.tags(record), fields.PROCESS_TAG: this_process()}
            if parent := self._parent_id():
                tags["mlflow.parentRunId"] = parent
            run = self.client.create_run(self.experiment_id, start, tags, fields.run_name(record))
            self._fill(run.info.run_id, record)
            self.client.set_terminated(run.info.run_id, fields.RUN_STATUS[record.status], end)
            if self._known is not None:
                self._known.add(record.result_key)
        return str(run.info.run_id)

    def log_samples(self, samples: list[list[Point]], before: int = 0) -> int:
        """Log the machine's load to the parent run, if it exists, skipping the first `before` samples.

        Returns how many samples are then logged in total. A tag of the run keeps this number, so that a later process
        can continue from it.
        """
        if self.parent_run_id is None or before >= len(samples):
            return before
        with self.guarded():
            points = [point for sample in samples[before:] for point in sample]
            self.batch(self.parent_run_id, points=points, tags={fields.SAMPLES_TAG: str(len(samples))})
        return len(samples)

    def end(self, status: EndStatus = "FINISHED", at: int | None = None) -> None:
        """End the parent run, if it exists, now or `at` milliseconds since 1970. Ending twice does nothing."""
        run_id, self._parent, self.parent_run_id = self.parent_run_id, None, None
        if run_id is not None:
            with self.guarded():
                self.client.set_terminated(run_id, status, at)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end("FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED")

    def _is_known(self, record: Record) -> bool:
        """Whether this result is logged.

        All results are fetched once. A result that is not among them is searched for by identity, because another process
        may have logged it in the meantime.
        """
        if self._known is None:
            self._known = {key for run in self.search(f"tags.`{fields.KIND_TAG}` = 'cell'") if (key := result_in(run))}
        if record.result_key in self._known:
            return True
        known = False
        for run in self.search(f"tags.`{fields.IDENTITY_TAG}` = '{record.identity_digest}'"):
            # A process on another machine may still be writing it; that process sets its own final status afterwards.
            if run.info.status == "RUNNING" and not owner_alive(run):
                self.client.set_terminated(run.info.run_id, "KILLED")
            known = known or result_in(run) == record.result_key
        return known

    def _parent_id(self) -> str | None:
        """The parent run's id. Creates the run if it does not exist yet."""
        if self._parent is None or self.parent_run_id is not None:
            return self.parent_run_id
        parent = self._parent
        tags = {"mlflow.source.name": "coterie", "mlflow.source.type": "LOCAL", **parent.tags}
        tags |= {fields.KIND_TAG: "run", fields.PROCESS_TAG: this_process()}
        run = self.client.create_run(self.experiment_id, parent.start, tags, parent.name)
        self.parent_run_id = str(run.info.run_id)
        self.batch(self.parent_run_id, fields.plain_parameters(dict(parent.params)))
        return self.parent_run_id

    def _fill(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        self.batch(run_id, fields.parameters(record), fields.points(record))
        data = fields.dataset(record)
        entity = Dataset(data.name, data.digest, "coterie", data.source, profile=data.profile)
        context = InputTag("mlflow.data.context", "evaluation")
        self.client.log_inputs(run_id, [DatasetInput(entity, [context])])
        with tempfile.TemporaryDirectory(prefix="coterie-") as folder:
            for name, text in artifacts(record).items():
                (Path(folder) / name).write_text(text, encoding="utf8")
            self.client.log_artifacts(run_id, folder)


def artifacts(record: Record) -> dict[str, str]:
    """The files logged with a cell's run, by name."""
    files = {"record.json": record.to_json()}
    if record.coalitions is not None:
        files["coalitions.json"] = record.coalitions.model_dump_json(indent=1)
    if any(measure.value is not None for measure in record.scores):
        files["scores.svg"] = scores_svg(record)
    return files


def result_in(run: Run) -> ResultKey | None:
    """The key of the result that this run holds; None if the run is incomplete."""
    if run.info.status in ("RUNNING", "KILLED"):
        return None
    tags = run.data.tags
    return tags.get(fields.IDENTITY_TAG, ""), tags.get(fields.STATUS_TAG, ""), tags.get(fields.DATE_TAG, "")
