"""MLflow as people run it: servers on sqlite and PostgreSQL, with a password, killed, or not answering."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coterie.tracking import mlflow_fields as fields
from coterie.tracking.errors import MlflowError, MlflowUnavailableError
from coterie.tracking.mlflow_log import Tracker
from coterie.tracking.mlflow_read import records_of_run, tracked_runs
from coterie.tracking.mlflow_store import MlflowStore
from coterie.tracking.quiet import quiet_mlflow
from coterie.tracking.record import Record
from coterie.tracking.run_log import Patience, RunLog
from coterie.tracking.store import RecordStore
from coterie.tracking.sync import sync
from tests.records import MadeUpMethod, make_record
from tests.tracking.servers import PASSWORD, QUOTED, Server, Silent, free_port, postgresql, sqlite_server

pytestmark = pytest.mark.slow

PATIENT = Patience(call=600, end=600)  # long enough for a busy machine


@dataclass
class Stores:
    plain: Server
    auth: Server


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Both servers, started together because starting is mostly waiting."""
    folder = tmp_path_factory.mktemp("servers")
    plain, auth = sqlite_server(folder / "plain").start(), sqlite_server(folder / "auth", auth=True).start()
    try:
        yield Stores(plain.ready(), auth.ready())
    finally:
        plain.kill()
        auth.kill()


@pytest.fixture(scope="module")
def pg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """An MLflow server on PostgreSQL, and the database itself."""
    with postgresql() as uri:
        server = Server(tmp_path_factory.mktemp("pg"), uri, free_port()).start()
        try:
            yield server.ready(), uri
        finally:
            server.kill()


@pytest.fixture(params=["server on sqlite", "server with basic auth", "server on PostgreSQL", "PostgreSQL itself"])
def uri(request: pytest.FixtureRequest) -> str:
    if "PostgreSQL" in request.param:
        server, database = request.getfixturevalue("pg")
        return str(database if "itself" in request.param else server.uri)
    stores: Stores = request.getfixturevalue("stores")
    return stores.auth.uri if "auth" in request.param else stores.plain.uri


def finished(uri: str, folder: Path, experiment: str) -> dict[str, Any]:
    """The runs of the finished cells by identity, exactly one per identity."""
    store = MlflowStore(uri, folder, experiment).open()
    with store.guarded():
        runs = [r for r in store.search(f"tags.`{fields.KIND_TAG}` = 'cell'") if r.info.status != "KILLED"]
    by_identity = {run.data.tags[fields.IDENTITY_TAG]: run for run in runs}
    assert len(by_identity) == len(runs), "a cell was logged twice"
    return by_identity


def write(store: RecordStore, log: RunLog, record: Record) -> None:
    store.write(record)
    log.cell(record, reused=False)


def test_a_run_is_logged_completely_to_every_kind_of_store(uri: str, tmp_path: Path, request: Any) -> None:
    experiment = request.node.name
    store = RecordStore(tmp_path)
    records = [make_record(MadeUpMethod("kmeans", parameters={"k": 8}), seed=seed) for seed in range(2)]
    with RunLog(Tracker(uri, tmp_path, experiment), store, "quick", {}, {"seeds": 2}, PATIENT) as log:
        for record in records:
            write(store, log, record)
    assert (log.problems, log.missing) == ([], 0)
    (parent,) = tracked_runs(MlflowStore(uri, tmp_path, experiment).open())
    assert (parent.coterie_run, parent.name, parent.status) == (log.run_id, "quick", "FINISHED")
    runs = finished(uri, tmp_path, experiment)
    for record in records:
        run = runs[record.identity_digest]
        assert run.data.tags["mlflow.parentRunId"] == parent.run_id
        assert run.data.params == fields.parameters(record)
        assert run.data.metrics == fields.metrics(record)
        assert [i.dataset.name for i in run.inputs.dataset_inputs] == [record.task_name]
    back = records_of_run(MlflowStore(uri, tmp_path, experiment).open(), parent.run_id)
    assert sorted(back, key=lambda r: r.seed) == records
    again = sync(Tracker(uri, tmp_path, experiment).open(), store)
    assert (again.logged, again.known) == (0, 2)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes()
            assert QUOTED.encode() not in path.read_bytes()


def test_a_wrong_password_is_reported_without_showing_it(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(MlflowError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        Tracker(f"http://admin:hunter2@127.0.0.1:{stores.auth.port}", tmp_path).open()
    assert not isinstance(caught.value, MlflowUnavailableError), "waiting would not help"
    assert "hunter2" not in str(caught.value)


def test_the_password_can_come_from_mlflows_variables(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    tracker = Tracker(f"http://127.0.0.1:{stores.auth.port}", tmp_path, "by variables").open()
    assert tracker.log(make_record()) is not None


def test_after_a_server_is_killed_during_a_run_sync_logs_the_rest(tmp_path: Path) -> None:
    server = sqlite_server(tmp_path / "server").start().ready()
    out = tmp_path / "out"
    store = RecordStore(out)
    records = [make_record("random", seed=seed) for seed in range(6)]
    patience = Patience(call=600, first_pause=0.05, longest_pause=0.4, end=600)
    try:
        with RunLog(Tracker(server.uri, out, "killed"), store, "quick", {}, {"seeds": 6}, patience) as log:
            for record in records[:2]:
                write(store, log, record)
            server.kill()
            started = time.monotonic()
            for record in records[2:]:
                write(store, log, record)
            assert time.monotonic() - started < patience.call, "a cell waited for the dead server"
        assert log.missing == 4
        assert "expected an MLflow store that answers" in log.problems[0]
        assert sorted(r.seed for r in store.all()) == list(range(6)), "records do not depend on MLflow"
        server.start().ready()
        first = sync(Tracker(server.uri, out, "killed").open(), store)
        second = sync(Tracker(server.uri, out, "killed").open(), store)
        assert (first.logged, first.known, second.logged, second.known) == (4, 2, 0, 6)
        (parent,) = tracked_runs(MlflowStore(server.uri, out, "killed").open())
        assert parent.status == "FINISHED"
        runs = finished(server.uri, out, "killed")
        assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.run_id}
        assert [runs[r.identity_digest].info.start_time for r in records] == [fields.times(r)[0] for r in records]
    finally:
        server.kill()


def test_a_server_that_comes_back_during_the_run_gets_what_it_missed(tmp_path: Path) -> None:
    server = sqlite_server(tmp_path / "server")
    out = tmp_path / "out"
    store = RecordStore(out)
    patience = Patience(call=600, first_pause=0.01, longest_pause=0.01, end=600)
    try:
        with RunLog(Tracker(server.uri, out), store, "quick", {}, {}, patience) as log:  # not running yet
            write(store, log, make_record("random", seed=0))
            assert log.missing == 1
            server.start().ready()
            time.sleep(0.02)
            write(store, log, make_record("random", seed=1))
        assert log.missing == 0
        assert len(log.problems) == 1
        assert len(finished(server.uri, out, "coterie")) == 2
        (parent,) = tracked_runs(MlflowStore(server.uri, out).open())
        assert parent.started.isoformat(timespec="milliseconds") == log.header.started
    finally:
        server.kill()


def test_a_server_that_never_answers_does_not_delay_the_run(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    patience = Patience(call=2, first_pause=600, end=2)
    with quiet_mlflow():
        pass  # import MLflow before measuring
    with Silent() as silent:
        started = time.monotonic()
        with RunLog(Tracker(silent.uri, tmp_path), store, "quick", {}, {}, patience) as log:
            for seed in range(100):
                write(store, log, make_record("random", seed=seed))
        assert time.monotonic() - started < 100 * patience.call / 2, "every cell waited"
    assert log.missing == 100
    assert log.problems == [f"{silent.uri}: no answer within 2 s"]
    assert len(store.all()) == 100
