"""Records into MLflow: one parent run for a ``coterie run``, one nested run a cell, written by one process.

The records on disk are the truth and MLflow is a view of them: what is missing there can be logged from them later,
and what is there already is not logged again.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from coterie.tracking import mlflow_fields as fields
from coterie.tracking.database import (
    TrackingError,
    cause_without_secrets,
    check_database_server,
    prepare_sqlite,
)
from coterie.tracking.quiet import environment, quiet_mlflow
from coterie.tracking.record import Record
from coterie.tracking.uris import (
    is_database_server,
    is_server,
    mask_secrets,
    mask_uri,
    resolve_uri,
    sqlite_path,
    ui_command,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EndStatus = Literal["FINISHED", "FAILED", "KILLED"]

DEFAULT_EXPERIMENT = "coterie"
# MLflow's own patience with a server that does not answer is minutes; before any work starts, seconds are enough.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}


@dataclass(frozen=True)
class _Parent:
    """A parent run that is created with the first cell that is logged under it."""

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, Any]
    start: int = field(default_factory=lambda: round(time.time() * 1000))


@dataclass(frozen=True)
class _Session:
    """An open store."""

    client: MlflowClient
    experiment_id: str


class Tracker:
    """Writes records to one MLflow experiment. Only one process of a run may have one open.

        with Tracker(None, output_folder) as tracker:
            tracker.start_parent("quick", tags={"coterie.suite": "quick"}, params={"seeds": 2})
            for record in records:
                tracker.log(record)

    ``tracking_uri`` wins over ``MLFLOW_TRACKING_URI``, which wins over ``<output_folder>/mlflow.db``; ``experiment``
    wins over ``MLFLOW_EXPERIMENT_NAME``, which wins over ``coterie``. Nothing is imported or touched before ``open``.
    Every method raises ``TrackingError`` if the store fails; its text holds no password.
    """

    def __init__(self, tracking_uri: str | None, output_folder: Path, experiment: str | None = None) -> None:
        self.uri = resolve_uri(tracking_uri, output_folder)
        self.output_folder = output_folder
        self.experiment = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
        self._session: _Session | None = None
        self._parent: _Parent | None = None
        self.parent_run_id: str | None = None

    @property
    def shown_uri(self) -> str:
        """The URI without its password: the only form to print."""
        return mask_uri(self.uri)

    def ui_command(self) -> str:
        """What to type, or which address to open, to look at the runs."""
        return ui_command(self.uri)

    def open(self) -> Self:
        """Create database and experiment if need be, and close the runs of killed processes. Call before any work."""
        with self._speaking(), environment(_IMPATIENT if is_server(self.uri) else {}):
            if path := sqlite_path(self.uri):
                prepare_sqlite(path)
            elif is_database_server(self.uri):
                check_database_server(self.uri)
            from mlflow import MlflowClient

            client = MlflowClient(self.uri)
            self._session = _Session(client, self._experiment_id(client))
            for run in self._search(
                f"tags.`{fields.PROCESS_TAG}` LIKE '{_host()}:%' and attributes.status = 'RUNNING'"
            ):
                if not _owner_alive(run):
                    client.set_terminated(run.info.run_id, "KILLED")
        return self

    def start_parent(self, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> None:
        """From now on cells are nested in a run of this name. It appears with the first cell that is really logged, so
        that a ``coterie run`` which finds everything finished leaves no empty run behind.
        """
        self._parent, self.parent_run_id = _Parent(name, dict(tags), dict(params)), None

    def log(self, record: Record, *, again: bool = False) -> str | None:
        """Log one cell as a nested run and return the run's id, or None if it is there already.

        There already means: a run of the same identity and the same status that has ended. ``again`` logs it all the
        same: for a cell that has just been run (on purpose a second time, say, or elsewhere by someone else).
        """
        session = self._opened()
        with self._speaking():
            if self._known(record) and not again:
                return None
            start, end = fields.times(record)
            tags = {**fields.tags(record), fields.PROCESS_TAG: _process()}
            if parent := self._parent_id():
                tags["mlflow.parentRunId"] = parent
            run = session.client.create_run(session.experiment_id, start, tags, fields.run_name(record))
            self._fill(run.info.run_id, record)
            session.client.set_terminated(run.info.run_id, fields.RUN_STATUS[record.status], end)
        return str(run.info.run_id)

    def end(self, status: EndStatus = "FINISHED") -> None:
        """End the parent run, if there is one. Ending twice does nothing."""
        run_id, self._parent, self.parent_run_id = self.parent_run_id, None, None
        if run_id is not None:
            with self._speaking():
                self._opened().client.set_terminated(run_id, status)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end("FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED")

    def _opened(self) -> _Session:
        if self._session is None:
            raise TrackingError("expected an open tracker; fix: call tracker.open() before any work starts")
        return self._session

    def _experiment_id(self, client: MlflowClient) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            # A server knows where its artifacts belong; for a database it is we who say.
            here = None if is_server(self.uri) else (self.output_folder.resolve() / "mlartifacts").as_uri()
            try:
                return str(client.create_experiment(self.experiment, artifact_location=here))
            except MlflowException:
                found = client.get_experiment_by_name(self.experiment)  # another process may have been faster
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"{self.shown_uri}: expected experiment {self.experiment!r} to be active, got: {found.lifecycle_stage}; "
                f"fix: restore it (mlflow experiments restore --experiment-id {found.experiment_id}) or set "
                "MLFLOW_EXPERIMENT_NAME to another name"
            )
        return str(found.experiment_id)

    def _known(self, record: Record) -> bool:
        """Whether the record is there. Runs that a killed process left half-written are marked so on the way."""
        known = False
        for run in self._search(f"tags.`{fields.IDENTITY_TAG}` = '{record.identity_digest}'"):
            if run.info.status == "RUNNING":
                # Another process may be writing it at this very moment: it then sets its own final status afterwards.
                if not _owner_alive(run):
                    self._opened().client.set_terminated(run.info.run_id, "KILLED")
            elif run.info.status != "KILLED" and run.data.tags.get(fields.STATUS_TAG) == record.status:
                known = True
        return known

    def _search(self, condition: str) -> Iterator[Run]:
        session, token = self._opened(), None
        while True:
            page = session.client.search_runs([session.experiment_id], condition, max_results=200, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def _parent_id(self) -> str | None:
        """The parent run's id, creating the run if it is not there yet."""
        if self._parent is None or self.parent_run_id is not None:
            return self.parent_run_id
        session, parent = self._opened(), self._parent
        tags = {"mlflow.source.name": "coterie", "mlflow.source.type": "LOCAL", **parent.tags}
        tags |= {fields.KIND_TAG: "run", fields.PROCESS_TAG: _process()}
        run = session.client.create_run(session.experiment_id, parent.start, tags, parent.name)
        self.parent_run_id = str(run.info.run_id)
        self._batch(self.parent_run_id, fields.plain_parameters(dict(parent.params)), {}, parent.start)
        return self.parent_run_id

    def _fill(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        _, end = fields.times(record)
        self._batch(run_id, fields.parameters(record), fields.metrics(record), end)
        data = fields.dataset(record)
        entity = Dataset(data.name, data.digest, "coterie", data.source, profile=data.profile)
        context = InputTag("mlflow.data.context", "evaluation")
        client = self._opened().client
        client.log_inputs(run_id, [DatasetInput(entity, [context])])
        with tempfile.TemporaryDirectory(prefix="coterie-") as folder:
            (Path(folder) / "record.json").write_text(record.to_json(), encoding="utf8")
            if record.coalitions is not None:
                coalitions = record.coalitions.model_dump_json(indent=1)
                (Path(folder) / "coalitions.json").write_text(coalitions, encoding="utf8")
            client.log_artifacts(run_id, folder)

    def _batch(self, run_id: str, params: Mapping[str, str], metrics: Mapping[str, float], timestamp: int) -> None:
        from mlflow.entities import Metric, Param

        self._opened().client.log_batch(
            run_id,
            metrics=[Metric(name, value, timestamp, 0) for name, value in metrics.items()],
            params=[Param(name, value) for name, value in params.items()],
            synchronous=True,
        )

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """MLflow, quietly; its failures become a ``TrackingError`` without secrets."""
        with quiet_mlflow():
            from mlflow.exceptions import MlflowException
            from requests.exceptions import RequestException
            from sqlalchemy.exc import SQLAlchemyError

            try:
                yield
            except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
                raise TrackingError(
                    f"{self.shown_uri}: expected an MLflow store that answers, got: "
                    f"{mask_secrets(str(error), self.uri)}; fix: check the address and that the server runs, or name "
                    "another store with --tracking-uri"
                ) from cause_without_secrets(error, self.uri)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())  # it stands in a search filter


def _process() -> str:
    return f"{_host()}:{os.getpid()}"


def _owner_alive(run: Run) -> bool:
    """Whether the process that writes this run still exists, as far as this machine can know."""
    host, _, pid = run.data.tags.get(fields.PROCESS_TAG, "").rpartition(":")
    if host != _host() or not pid.isdigit():
        return False
    if os.name == "nt":
        return True  # os.kill would end the process there
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
