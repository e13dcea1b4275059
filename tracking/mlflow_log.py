"""Records into MLflow: one parent run for a ``coterie run``, one nested run a cell, written by one process.

The records on disk are the truth and MLflow is a view of them: what is missing there can be logged from them later,
and what is there already is not logged again.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from coterie.tracking import mlflow_fields as fields
from coterie.tracking.mlflow_fields import Point
from coterie.tracking.mlflow_store import MlflowStore, owner_alive, process
from coterie.tracking.record import Record
from coterie.tracking.scores_plot import scores_svg

if TYPE_CHECKING:
    from mlflow.entities import Run

EndStatus = Literal["FINISHED", "FAILED", "KILLED"]

Key = tuple[str, str, str]  # identity, status, date: one result of one cell


@dataclass(frozen=True)
class _Parent:
    """A parent run that is created with the first cell that is logged under it."""

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, Any]
    start: int = field(default_factory=lambda: round(time.time() * 1000))


class Tracker(MlflowStore):
    """Writes records to one MLflow experiment. Only one process of a run may have one open.

    with Tracker(None, output_folder) as tracker:
        tracker.start_parent("quick", tags={"coterie.suite": "quick"}, params={"seeds": 2})
        for record in records:
            tracker.log(record)
    """

    def __init__(self, tracking_uri: str | None, output_folder: Path, experiment: str | None = None) -> None:
        super().__init__(tracking_uri, output_folder, experiment)
        self._parent: _Parent | None = None
        self._known: set[Key] | None = None
        self.parent_run_id: str | None = None

    def start_parent(
        self, name: str, tags: Mapping[str, str], params: Mapping[str, Any], start: int | None = None
    ) -> None:
        """From now on cells are nested in a run of this name. It appears with the first cell that is really logged, so
        that a ``coterie run`` which finds everything finished leaves no empty run behind. ``start``: milliseconds
        since 1970, now if not given.
        """
        when = {} if start is None else {"start": start}
        self._parent, self.parent_run_id = _Parent(name, dict(tags), dict(params), **when), None

    def resume_parent(self, run: Run) -> None:
        """From now on cells are nested in this run."""
        self.parent_run_id = str(run.info.run_id)

    def leave_parent(self) -> None:
        """From now on cells are logged without a parent; the one there was stays as it is."""
        self._parent, self.parent_run_id = None, None

    def log(self, record: Record, *, again: bool = False) -> str | None:
        """Log one cell as a nested run and return the run's id, or None if it is there already.

        There already means: a run of the same identity, status and date that has ended. ``again`` logs it all the
        same: for a cell that has just been run, which saves the question.
        """
        with self.speaking():
            if not again and self._is_known(record):
                return None
            start, end = fields.times(record)
            tags = {**fields.tags(record), fields.PROCESS_TAG: process()}
            if parent := self._parent_id():
                tags["mlflow.parentRunId"] = parent
            run = self.client.create_run(self.experiment_id, start, tags, fields.run_name(record))
            self._fill(run.info.run_id, record)
            self.client.set_terminated(run.info.run_id, fields.RUN_STATUS[record.status], end)
            if self._known is not None:
                self._known.add(_key(record))
        return str(run.info.run_id)

    def log_samples(self, samples: list[list[Point]], before: int = 0) -> int:
        """Log the machine's load to the parent run, if it is there: samples from number ``before`` on. Returns how many
        of all are logged then; the run's tag says the same, so that a later process can go on from there.
        """
        if self.parent_run_id is None or before >= len(samples):
            return before
        with self.speaking():
            points = [point for sample in samples[before:] for point in sample]
            self.batch(self.parent_run_id, points=points, tags={fields.SAMPLES_TAG: str(len(samples))})
        return len(samples)

    def end(self, status: EndStatus = "FINISHED", at: int | None = None) -> None:
        """End the parent run, if there is one, now or at a time in milliseconds. Ending twice does nothing."""
        run_id, self._parent, self.parent_run_id = self.parent_run_id, None, None
        if run_id is not None:
            with self.speaking():
                self.client.set_terminated(run_id, status, at)

    def attach(self, run_id: str, files: list[Path]) -> None:
        """Keep copies of these files with the run."""
        with self.speaking():
            for file in files:
                self.client.log_artifact(run_id, str(file))

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end("FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED")

    def _is_known(self, record: Record) -> bool:
        """Whether the record is there. What one look at all runs of the experiment has not shown is asked for by its
        identity: another process may have logged it since.
        """
        if self._known is None:
            self._known = {key for run in self.search(f"tags.`{fields.KIND_TAG}` = 'cell'") if (key := result_in(run))}
        if _key(record) in self._known:
            return True
        known = False
        for run in self.search(f"tags.`{fields.IDENTITY_TAG}` = '{record.identity_digest}'"):
            # Another process may be writing it at this very moment: it then sets its own final status afterwards.
            if run.info.status == "RUNNING" and not owner_alive(run):
                self.client.set_terminated(run.info.run_id, "KILLED")
            known = known or result_in(run) == _key(record)
        return known

    def _parent_id(self) -> str | None:
        """The parent run's id, creating the run if it is not there yet."""
        if self._parent is None or self.parent_run_id is not None:
            return self.parent_run_id
        parent = self._parent
        tags = {"mlflow.source.name": "coterie", "mlflow.source.type": "LOCAL", **parent.tags}
        tags |= {fields.KIND_TAG: "run", fields.PROCESS_TAG: process()}
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
    """The files that travel with a cell's run, by name."""
    files = {"record.json": record.to_json()}
    if record.coalitions is not None:
        files["coalitions.json"] = record.coalitions.model_dump_json(indent=1)
    if any(measure.value is not None for measure in record.scores):
        files["scores.svg"] = scores_svg(record)
    return files


def _key(record: Record) -> Key:
    return record.identity_digest, record.status, record.date


def result_in(run: Run) -> Key | None:
    """Which result this run holds, or None if it was not written to its end."""
    if run.info.status in ("RUNNING", "KILLED"):
        return None
    tags = run.data.tags
    return tags.get(fields.IDENTITY_TAG, ""), tags.get(fields.STATUS_TAG, ""), tags.get(fields.DATE_TAG, "")
