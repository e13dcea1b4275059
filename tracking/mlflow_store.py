"""An open MLflow store: its experiment, searches and batches, with short timeouts and errors without secrets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from coterie.tracking import mlflow_fields as fields
from coterie.tracking.database import (
    cause_without_secrets,
    check_database_server,
    check_uri,
    one_line,
    prepare_sqlite,
)
from coterie.tracking.errors import MlflowError, MlflowUnavailableError
from coterie.tracking.mlflow_fields import Point
from coterie.tracking.processes import host, process_alive, this_process
from coterie.tracking.quiet import default_environment, quiet_mlflow
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

DEFAULT_EXPERIMENT = "coterie"
PAGE = 1000  # runs per search request
BATCH = 1000  # metrics per request, MLflow's limit
SERVER_ERROR = 500
# MLflow itself waits many minutes for a server that does not answer. coterie need not wait: records are kept on disk.
_SHORT_TIMEOUT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
_FIXES = {
    401: "give user and password in the URI or as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    403: "ask for permission to write to this experiment, or set MLFLOW_EXPERIMENT_NAME to another one",
}


@dataclass(frozen=True)
class _Session:
    client: MlflowClient
    experiment_id: str


class MlflowStore:
    """One experiment of one store. Nothing is imported or touched before `open`.

    `tracking_uri` defaults to `MLFLOW_TRACKING_URI`, and that to `<output_folder>/mlflow.db`; `experiment` defaults to
    `MLFLOW_EXPERIMENT_NAME`, and that to `coterie`. Methods raise `MlflowUnavailableError` if the store may work later,
    else `MlflowError`; error texts contain no password.
    """

    def __init__(self, tracking_uri: str | None, output_folder: Path, experiment: str | None = None) -> None:
        self.uri = resolve_uri(tracking_uri, output_folder)
        self.output_folder = output_folder
        self.experiment = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
        self._session: _Session | None = None

    @property
    def display_uri(self) -> str:
        """The URI without its password: the only form to print."""
        return mask_uri(self.uri)

    @property
    def is_remote(self) -> bool:
        """Whether the store is a server, which may be reachable later, rather than a file on this machine."""
        return is_server(self.uri) or is_database_server(self.uri)

    def ui_command(self) -> str:
        """The command to type, or the server's address to open, to look at the runs."""
        return ui_command(self.uri)

    def open(self) -> Self:
        """Create database and experiment if missing, and close the runs of killed processes. Call before any work."""
        check_uri(self.uri)
        with self.guarded():
            if path := sqlite_path(self.uri):
                prepare_sqlite(path)
            elif is_database_server(self.uri):
                check_database_server(self.uri)
            from mlflow import MlflowClient

            client = MlflowClient(self.uri)
            self._session = _Session(client, self._experiment_id(client))
            self.close_abandoned()
        return self

    @property
    def client(self) -> MlflowClient:
        return self._opened().client

    @property
    def experiment_id(self) -> str:
        return self._opened().experiment_id

    def search(self, condition: str) -> Iterator[Run]:
        """Every run of the experiment that meets the condition, fetched page by page."""
        token = None
        while True:
            page = self.client.search_runs([self.experiment_id], condition, max_results=PAGE, page_token=token)
            yield from page
            if not (token := page.token):
                return

    def close_abandoned(self, *, own: bool = False) -> None:
        """Mark the unfinished runs of this machine's ended processes as killed.

        With `own`, also mark the unfinished cells of this process; do so only after a failure, when it is logging none.
        """
        for run in self.search(f"tags.`{fields.PROCESS_TAG}` LIKE '{host()}:%' and attributes.status = 'RUNNING'"):
            mine = run.data.tags.get(fields.PROCESS_TAG) == this_process()
            if not owner_alive(run) or (own and mine and run.data.tags.get(fields.KIND_TAG) == "cell"):
                self.client.set_terminated(run.info.run_id, "KILLED")

    def batch(
        self,
        run_id: str,
        params: Mapping[str, str] | None = None,
        points: list[Point] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log parameters, metrics and tags in as few requests as MLflow allows."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(p.name, p.value, p.timestamp, p.step) for p in points or []]
        for start in range(0, max(1, len(metrics)), BATCH):
            first = start == 0
            self.client.log_batch(
                run_id,
                metrics=metrics[start : start + BATCH],
                params=[Param(name, value) for name, value in (params or {}).items()] if first else [],
                tags=[RunTag(name, value) for name, value in (tags or {}).items()] if first else [],
                synchronous=True,
            )

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """While active, MLflow is quiet and its failures become an `MlflowError` without secrets."""
        with quiet_mlflow(), default_environment(_SHORT_TIMEOUT if is_server(self.uri) else {}):
            from mlflow.exceptions import MlflowException
            from requests.exceptions import RequestException
            from sqlalchemy.exc import SQLAlchemyError

            try:
                yield
            except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
                status = error.get_http_status_code() if isinstance(error, MlflowException) else SERVER_ERROR
                kind = MlflowUnavailableError if status >= SERVER_ERROR else MlflowError
                fix = _FIXES.get(status, "check the address and that the server is running")
                raise kind(
                    f"{self.display_uri}: expected an MLflow store that answers, got: "
                    f"{mask_secrets(one_line(error), self.uri)}; fix: {fix}, or name another store with --tracking-uri"
                ) from cause_without_secrets(error, self.uri)

    def _opened(self) -> _Session:
        if self._session is None:
            raise MlflowError("expected an open tracker; fix: call tracker.open() before any work starts")
        return self._session

    def _experiment_id(self, client: MlflowClient) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            # A server decides where artifacts belong; for a database, coterie does.
            location = None if is_server(self.uri) else (self.output_folder.resolve() / "mlartifacts").as_uri()
            try:
                return str(client.create_experiment(self.experiment, artifact_location=location))
            except MlflowException:
                found = client.get_experiment_by_name(self.experiment)  # another process may have been faster
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise MlflowError(
                f"{self.display_uri}: expected experiment {self.experiment!r} to be active, got: {found.lifecycle_stage}; "
                f"fix: restore it (mlflow experiments restore --experiment-id {found.experiment_id}) or set "
                "MLFLOW_EXPERIMENT_NAME to another name"
            )
        return str(found.experiment_id)


def owner_alive(run: Run) -> bool:
    """Whether the process that writes this run still exists, as far as this machine can tell."""
    return process_alive(run.data.tags.get(fields.PROCESS_TAG, ""))
