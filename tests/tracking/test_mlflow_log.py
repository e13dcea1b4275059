import json
import logging
import os
import sqlite3
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from coterie.tracking import database
from coterie.tracking import mlflow_fields as fields
from coterie.tracking.database import prepare_sqlite
from coterie.tracking.errors import MlflowError
from coterie.tracking.mlflow_log import Tracker
from coterie.tracking.processes import host
from coterie.tracking.quiet import quiet_mlflow
from tests.records import MadeUpMethod, make_record

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEAD_PID = 2**22 + 1  # larger than any process id on Linux
MLFLOW_RETRY_SECONDS = 90  # MLflow alone would retry for 100; coterie fails within 1 unless the machine is busy


@pytest.fixture(scope="session")
def output_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for all tests, as creating one takes a second. Each test has its own experiment."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(autouse=True)
def no_mlflow_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def new_tracker(output_folder: Path, request: pytest.FixtureRequest) -> Callable[[], Tracker]:
    return lambda: Tracker(None, output_folder, request.node.name)


@pytest.fixture
def tracker(new_tracker: Callable[[], Tracker]) -> Tracker:
    return new_tracker().open()


@pytest.fixture
def client(tracker: Tracker) -> Iterator["MlflowClient"]:
    with quiet_mlflow():
        from mlflow import MlflowClient

        yield MlflowClient(tracker.uri)


def runs_of(client: "MlflowClient", tracker: Tracker, kind: str = "cell") -> list[Any]:
    experiment = client.get_experiment_by_name(tracker.experiment)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`{fields.KIND_TAG}` = '{kind}'"))


def test_a_cell_becomes_a_nested_run_with_everything_in_it(tracker: Tracker, client: "MlflowClient") -> None:
    record = make_record(MadeUpMethod("kmeans", parameters={"k": 8}), seed=1)
    tracker.start_parent("quick", tags={"coterie.suite": "quick"}, params={"seeds": 2})
    run_id = tracker.log(record)
    assert run_id is not None
    run = client.get_run(run_id)
    assert run.data.params == fields.parameters(record)
    assert run.data.metrics == fields.metrics(record)
    assert fields.tags(record).items() <= run.data.tags.items()
    assert run.data.tags["mlflow.parentRunId"] == tracker.parent_run_id
    assert run.info.run_name == "kmeans[k=8] on pydoc-llama/relevance, seed 1"
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", *fields.times(record))
    (inputs,) = run.inputs.dataset_inputs
    assert (inputs.dataset.name, inputs.dataset.digest) == (fields.dataset(record).name, fields.dataset(record).digest)
    folder = Path(client.download_artifacts(run_id, "").removeprefix("file://"))
    assert (folder / "record.json").read_text() == record.to_json()
    assert json.loads((folder / "coalitions.json").read_text())["groups"] == [[0, 1, 2], [3, 4]]
    assert folder.is_relative_to(tracker.output_folder / "mlartifacts")


def test_the_parent_run_has_the_settings_and_ends(tracker: Tracker, client: "MlflowClient") -> None:
    tracker.start_parent("quick", tags={"coterie.suite": "quick"}, params={"seeds": 2, "methods": ["random"]})
    tracker.log(make_record())
    assert tracker.parent_run_id is not None
    parent = client.get_run(tracker.parent_run_id)
    assert parent.info.status == "RUNNING"
    assert parent.data.params == {"seeds": "2", "methods": '["random"]'}
    assert parent.data.tags["coterie.suite"] == "quick"
    tracker.end()
    tracker.end()
    assert client.get_run(parent.info.run_id).info.status == "FINISHED"


def test_a_record_is_logged_only_once(
    new_tracker: Callable[[], Tracker], tracker: Tracker, client: "MlflowClient"
) -> None:
    records = [make_record("random", seed=seed) for seed in range(2)]
    assert all(tracker.log(record) for record in records)
    assert [tracker.log(record) for record in records] == [None, None]
    with new_tracker() as another:
        another.start_parent("again", {}, {})
        assert [another.log(record) for record in records] == [None, None]
        assert another.parent_run_id is None
    assert len(runs_of(client, tracker)) == 2
    assert runs_of(client, tracker, "run") == []
    assert tracker.log(records[0], is_new=True) is not None
    assert len(runs_of(client, tracker)) == 3


@pytest.mark.parametrize(("status", "expected"), [("failed", "FAILED"), ("timeout", "FAILED"), ("skipped", "FINISHED")])
def test_a_cell_without_a_result_is_logged_once_and_again_with_its_result(
    tracker: Tracker, client: "MlflowClient", status: Any, expected: str
) -> None:
    record = make_record("random", status=status, reason="no gradients available")
    assert tracker.log(record) is not None
    assert tracker.log(record) is None
    (run,) = runs_of(client, tracker)
    assert run.info.status == expected
    assert run.data.tags["coterie.reason"] == "no gradients available"
    assert tracker.log(make_record("random")) is not None
    assert len(runs_of(client, tracker)) == 2


def half_written(client: "MlflowClient", tracker: Tracker, kind: str, process: str, identity: str = "") -> str:
    """A run whose process was killed between creating and ending it."""
    experiment = client.get_experiment_by_name(tracker.experiment)
    assert experiment is not None
    tags = {fields.KIND_TAG: kind, fields.PROCESS_TAG: process, fields.IDENTITY_TAG: identity}
    return str(client.create_run(experiment.experiment_id, tags=tags).info.run_id)


def test_runs_of_killed_processes_are_closed_and_their_cells_logged(
    new_tracker: Callable[[], Tracker], tracker: Tracker, client: "MlflowClient"
) -> None:
    record = make_record("random")
    dead = [
        half_written(client, tracker, kind, f"{host()}:{DEAD_PID}", record.identity_digest) for kind in ("cell", "run")
    ]
    living = half_written(client, tracker, "run", f"{host()}:{os.getpid()}")
    elsewhere = half_written(client, tracker, "run", "another-host:1")
    again = new_tracker().open()
    assert [client.get_run(run_id).info.status for run_id in dead] == ["KILLED", "KILLED"]
    assert [client.get_run(run_id).info.status for run_id in (living, elsewhere)] == ["RUNNING", "RUNNING"]
    assert again.log(record) is not None


def test_a_half_written_cell_of_another_machine_is_replaced(tracker: Tracker, client: "MlflowClient") -> None:
    record = make_record("random")
    stale = half_written(client, tracker, "cell", "another-host:1", record.identity_digest)
    logged = tracker.log(record)
    assert logged is not None
    assert client.get_run(stale).info.status == "KILLED"
    assert client.get_run(logged).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError(), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_leaving_the_context_ends_the_parent_with_the_right_status(
    new_tracker: Callable[[], Tracker], client: "MlflowClient", error: BaseException | None, status: str
) -> None:
    tracker = new_tracker()
    try:
        with tracker:
            tracker.start_parent("quick", {}, {})
            tracker.log(make_record())
            if error is not None:
                raise error
    except (ValueError, KeyboardInterrupt):
        assert error is not None
    (parent,) = runs_of(client, tracker, "run")
    assert parent.info.status == status


def test_logging_prints_nothing_and_leaves_the_process_unchanged(
    new_tracker: Callable[[], Tracker], capfd: pytest.CaptureFixture[str]
) -> None:
    environment = dict(os.environ)
    with quiet_mlflow():
        pass  # MLflow's first import sets the levels of its loggers
    levels = [logging.getLogger(n).level for n in ("mlflow", "alembic")]
    tracker = new_tracker().open()
    tracker.log(make_record())
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == environment
    assert [logging.getLogger(n).level for n in ("mlflow", "alembic")] == levels


def test_the_environment_names_store_and_experiment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:secret@host")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    tracker = Tracker(None, tmp_path)
    assert (tracker.uri, tracker.experiment) == ("http://bob:secret@host", "mine")
    assert tracker.display_uri == "http://bob:***@host"
    assert Tracker("sqlite:///x.db", tmp_path, "given").experiment == "given"


def test_logging_before_open_fails_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(MlflowError, match=r"fix: call tracker.open\(\)"):
        Tracker(None, tmp_path).log(make_record())


def test_a_deleted_experiment_is_reported(tracker: Tracker, client: "MlflowClient") -> None:
    experiment = client.get_experiment_by_name(tracker.experiment)
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(MlflowError, match="to be active, got: deleted; fix: restore it"):
        tracker.open()


def test_a_damaged_database_is_reported_soon_and_left_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"garbage" * 1000)
    started = time.monotonic()
    with pytest.raises(
        MlflowError,
        match=rf"{path}: expected a readable and writable MLflow database, .* not a database; fix: .*move it",
    ):
        Tracker(None, tmp_path).open()
    assert time.monotonic() - started < MLFLOW_RETRY_SECONDS
    assert path.read_bytes() == b"garbage" * 1000


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    with pytest.raises(MlflowError, match="without MLflow's tables"):
        Tracker(f"sqlite:///{path}", tmp_path).open()


def test_a_locked_database_is_reported(output_folder: Path, tracker: Tracker) -> None:
    path = output_folder / "mlflow.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(MlflowError, match="locked; fix: wait until no other program"):
            prepare_sqlite(path, busy_seconds=0.05)
    finally:
        connection.close()
    prepare_sqlite(path)


@pytest.mark.parametrize("uri", ["http://bob:hunter2@127.0.0.1:9/", "postgresql://bob:hunter2@127.0.0.1:9/runs"])
def test_an_unreachable_server_is_reported_soon_and_without_its_password(tmp_path: Path, uri: str) -> None:
    started = time.monotonic()
    with pytest.raises(MlflowError, match=r"bob:\*\*\*@127.0.0.1:9/.*fix: check") as caught:
        Tracker(uri, tmp_path).open()
    assert time.monotonic() - started < MLFLOW_RETRY_SECONDS
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("uri", ["file:///tmp/runs", "gopher://host/runs"])
def test_a_kind_of_store_that_mlflow_lacks_is_reported(tmp_path: Path, uri: str) -> None:
    with pytest.raises(MlflowError, match=r"fix: .*--tracking-uri"):
        Tracker(uri, tmp_path).open()


def test_a_database_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a folder, 100%?" / "mlflow.db"

    def killed(temporary: Path, _: Path) -> None:
        assert temporary.stat().st_size > 100_000
        raise KeyboardInterrupt

    with quiet_mlflow():
        with monkeypatch.context() as patch:
            patch.setattr(database, "_publish", killed)
            with pytest.raises(KeyboardInterrupt):
                prepare_sqlite(path)
        assert list(path.parent.iterdir()) == []
        prepare_sqlite(path)
    assert [file.name for file in path.parent.iterdir()] == ["mlflow.db"]


def test_the_first_of_two_processes_that_create_a_database_wins(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "mlflow.db"
    mine.write_text("mine")
    theirs.write_text("theirs")
    database._publish(mine, theirs)
    assert theirs.read_text() == "theirs"
