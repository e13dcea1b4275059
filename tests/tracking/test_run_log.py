"""A run's manifest and its log in MLflow: what is written when, and that failures of MLflow never stop the run."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from coterie.tracking import manifest
from coterie.tracking import mlflow_fields as fields
from coterie.tracking.errors import MlflowError, MlflowUnavailableError
from coterie.tracking.manifest import End, ManifestWriter, Run, read_run, read_runs, runs_folder
from coterie.tracking.mlflow_log import Tracker
from coterie.tracking.mlflow_read import records_of_cell, tracked_runs
from coterie.tracking.mlflow_store import MlflowStore
from coterie.tracking.record import Record
from coterie.tracking.run_log import Patience, RunLog
from coterie.tracking.store import RecordStore, Unreadable
from coterie.tracking.sync import sync
from tests.records import MadeUpMethod, make_record

PATIENT = Patience(call=600, end=600)  # long enough for a busy machine: these tests check results, not speed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for all tests. Each test has its own experiment and output folder."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def new_tracker(folder: Path, request: pytest.FixtureRequest) -> Callable[[], Tracker]:
    return lambda: Tracker(f"sqlite:///{folder}/mlflow.db", folder, request.node.name)


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "out")


def run(log: RunLog, store: RecordStore, records: list[Record], reused: bool = False) -> None:
    with log:
        for record in records:
            store.write(record)
            log.cell(record, reused)


def cells(tracker: Tracker) -> list[Any]:
    opened = MlflowStore(tracker.uri, tracker.output_folder, tracker.experiment).open()
    with opened.guarded():
        return [r for r in opened.search(f"tags.`{fields.KIND_TAG}` = 'cell'") if r.info.status != "KILLED"]


class Failing(Tracker):
    """A tracker whose server is unavailable for the calls that `down` selects by number."""

    down: Callable[[int], bool]
    n_calls = 0

    def log(self, record: Record, *, is_new: bool = False) -> str | None:
        self.n_calls += 1
        if self.down(self.n_calls):
            raise MlflowUnavailableError("gone")
        return super().log(record, is_new=is_new)


def test_a_manifest_is_written_line_by_line_and_read_back(
    store: RecordStore, new_tracker: Callable[[], Tracker]
) -> None:
    records = [make_record("random", seed=seed) for seed in range(2)]
    log = RunLog(new_tracker(), store, "quick", {"coterie.suite": "quick"}, {"seeds": 2}, PATIENT)
    run(log, store, records)
    (found,), unreadable = read_runs(store.root)
    assert unreadable == []
    assert (found.run_id, found.header.name, found.header.params) == (log.run_id, "quick", {"seeds": 2})
    assert [(c.cell, c.status, c.date, c.reused) for c in found.cells] == [
        (r.identity_digest, "ok", r.date, False) for r in records
    ]
    assert found.status == "FINISHED"
    assert found.samples, "at least one sample of the machine's load, at the end"
    assert found.samples[-1].load["system/coterie_memory_megabytes"] > 10


def test_runs_that_start_simultaneously_get_different_numbers(store: RecordStore) -> None:
    old = ManifestWriter(store.root, "of a version without numbers", {}, {})
    header = json.loads(old.path.read_text())
    del header["number"]
    old.path.write_text(json.dumps(header | {"started": "2026-01-01T00:00:00.000+00:00"}) + "\n")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: ManifestWriter(store.root, str(i), {}, {}), range(20)))
    found, unreadable = read_runs(store.root)
    assert unreadable == []
    assert [run.header.number for run in found] == list(range(21))


def test_a_new_run_never_overwrites_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["aaaaaa", "aaaaaa", "bbbbbb"])
    monkeypatch.setattr(manifest, "secrets", SimpleNamespace(token_hex=lambda _n: next(drawn)))
    moment = datetime(2026, 11, 20, 8, tzinfo=UTC)
    for ending in ("aaaaaa", "bbbbbb"):
        path = manifest._unused_path(tmp_path, moment)
        assert path.name == f"20261120-080000-{ending}.jsonl"
        path.touch()


def test_a_file_system_without_locks_causes_only_a_warning(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_lock: FileLock) -> None:
        raise NotImplementedError("no locks")

    monkeypatch.setattr(FileLock, "_acquire", refuse)
    assert [ManifestWriter(store.root, "quick", {}, {}).header.number for _ in range(2)] == [1, 2]
    assert "expected a folder that supports file locks, got: no locks" in caplog.text


def test_an_incomplete_line_is_ignored_and_a_damaged_file_is_reported(store: RecordStore) -> None:
    writer = ManifestWriter(store.root, "quick", {}, {})
    writer.cell(make_record(), reused=True)
    whole = writer.path.read_text()
    writer.path.write_text(whole + '{"cell": "abc')
    found = read_run(writer.path)
    assert isinstance(found, Run)
    assert len(found.cells) == 1
    assert found.status == "RUNNING", "this process is alive"
    writer.path.write_text(whole + "garbage\n")
    assert isinstance(read_run(writer.path), Unreadable)
    (runs_folder(store.root) / "20260101-000000-abcdef.jsonl").write_text(whole)
    assert "renamed" in str(read_run(runs_folder(store.root) / "20260101-000000-abcdef.jsonl"))


def test_a_run_of_a_dead_process_counts_as_killed(store: RecordStore) -> None:
    writer = ManifestWriter(store.root, "quick", {}, {})
    header = json.loads(writer.path.read_text())
    writer.path.write_text(json.dumps(header | {"process": "elsewhere:1"}) + "\n")
    (found,), _ = read_runs(store.root)
    assert found.status == "KILLED"


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_manifest_says_how_the_run_ended(
    store: RecordStore, new_tracker: Callable[[], Tracker], error: type[BaseException] | None
) -> None:
    log = RunLog(new_tracker(), store, "quick", {}, {}, PATIENT)
    with contextlib.suppress(ValueError, KeyboardInterrupt), log:
        if error:
            raise error
    (found,), _ = read_runs(store.root)
    assert isinstance(found.end, End)
    assert found.end.status == {None: "FINISHED", ValueError: "FAILED", KeyboardInterrupt: "KILLED"}[error]


def test_an_unavailable_store_is_contacted_rarely_and_gets_everything_in_the_end(
    store: RecordStore, folder: Path, request: pytest.FixtureRequest
) -> None:
    tracker = Failing(f"sqlite:///{folder}/mlflow.db", folder, request.node.name)
    tracker.down = lambda n_calls: n_calls <= 3
    log = RunLog(tracker, store, "quick", {}, {}, replace(PATIENT, first_pause=0.2, longest_pause=0.2))
    with log:
        started = time.monotonic()
        for seed in range(40):
            record = make_record("random", seed=seed)
            store.write(record)
            log.cell(record, False)
            if tracker.n_calls < 4:
                time.sleep(0.01)
        elapsed = time.monotonic() - started
    assert tracker.n_calls <= 40 + elapsed / 0.2 + 4, "contacted for every cell"
    assert log.missing == 0
    assert log.problems == ["gone"]
    assert len(cells(tracker)) == 40
    assert len(tracked_runs(tracker)) == 1


def test_a_store_that_hangs_does_not_delay_cells_for_long(
    store: RecordStore, new_tracker: Callable[[], Tracker]
) -> None:
    tracker, released = new_tracker(), threading.Event()
    original = tracker.log

    def slow(record: Record, *, is_new: bool = False) -> str | None:
        released.wait()
        return original(record, is_new=is_new)

    tracker.log = slow  # type: ignore[method-assign]
    log = RunLog(tracker, store, "quick", {}, {}, replace(PATIENT, first_pause=0.01))
    with log:
        log._patience = replace(PATIENT, call=0.1, first_pause=0.01)
        for seed in range(5):
            record = make_record("random", seed=seed)
            store.write(record)
            log.cell(record, False)
        assert log.missing == 5, "cells finish while the store hangs"
        released.set()
    assert log.missing == 0
    assert len(cells(tracker)) == 5


def test_a_refused_record_does_not_delay_the_others(store: RecordStore, new_tracker: Callable[[], Tracker]) -> None:
    tracker = new_tracker()
    original = tracker.log

    def refuse(record: Record, *, is_new: bool = False) -> str | None:
        if record.seed == 0:
            raise MlflowError("not this one")
        return original(record, is_new=is_new)

    tracker.log = refuse  # type: ignore[method-assign]
    log = RunLog(tracker, store, "quick", {}, {}, PATIENT)
    run(log, store, [make_record("random", seed=seed) for seed in range(3)])
    assert len(cells(tracker)) == 2
    assert len(log.problems) == 1
    assert "not this one" in log.problems[0]


def test_a_wrong_store_is_reported_before_any_work_and_leaves_no_manifest(store: RecordStore, tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_bytes(b"garbage" * 1000)
    with (
        pytest.raises(MlflowError, match="not a database"),
        RunLog(Tracker(f"sqlite:///{tmp_path}/bad.db", tmp_path), store, "quick", {}, {}, PATIENT),
    ):
        pytest.fail("entered")
    assert read_runs(store.root) == ([], [])


def test_sync_rebuilds_nesting_times_inputs_and_load(store: RecordStore, new_tracker: Callable[[], Tracker]) -> None:
    first = [make_record("random", seed=seed, date=f"2026-11-20T08:0{seed}:00+00:00") for seed in range(2)]
    second = [make_record("kmeans", seed=seed) for seed in range(2)]
    alone = make_record("by-hand")
    store.write(alone)
    ids = []
    for records in (first, second):
        writer = ManifestWriter(store.root, "quick", {"coterie.suite": "quick"}, {"seeds": 2})
        for record in records:
            store.write(record)
            writer.cell(record, reused=False)
        for record in first if records is second else []:
            writer.cell(record, reused=True)
        writer.end("FINISHED")
        ids.append(writer.header)
    tracker = new_tracker().open()
    done = []
    result = sync(tracker, store, lambda n, total: done.append((n, total)))
    assert (result.logged, result.known, result.unreadable) == (5, 0, [])
    assert done[-1] == (5, 5)
    parents = {run.coterie_run: run for run in tracked_runs(new_tracker().open())}
    assert set(parents) == {header.run_id for header in ids}
    runs = {run.data.tags[fields.IDENTITY_TAG]: run for run in cells(tracker)}
    for header, records in zip(ids, (first, second), strict=True):
        parent = parents[header.run_id]
        assert parent.started.isoformat(timespec="milliseconds") == header.started
        assert parent.status == "FINISHED"
        for record in records:
            run = runs[record.identity_digest]
            assert run.data.tags["mlflow.parentRunId"] == parent.run_id
            assert (run.info.start_time, run.info.end_time) == fields.times(record)
            assert len(run.inputs.dataset_inputs) == 1
    assert "mlflow.parentRunId" not in runs[alone.identity_digest].data.tags
    again = sync(new_tracker().open(), store)
    assert (again.logged, again.known) == (0, 5)


def test_sync_continues_where_it_was_interrupted(store: RecordStore, new_tracker: Callable[[], Tracker]) -> None:
    writer = ManifestWriter(store.root, "quick", {}, {})
    records = [make_record("random", seed=seed) for seed in range(4)]
    for record in records:
        store.write(record)
        writer.cell(record, reused=False)
    writer.end("FINISHED")

    def interrupt(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sync(new_tracker().open(), store, interrupt)
    result = sync(new_tracker().open(), store)
    assert (result.logged, result.known) == (2, 2)
    (parent,) = tracked_runs(new_tracker().open())
    assert {run.data.tags["mlflow.parentRunId"] for run in cells(new_tracker())} == {parent.run_id}
    assert parent.status == "FINISHED"


def test_sync_skips_active_runs(store: RecordStore, new_tracker: Callable[[], Tracker]) -> None:
    writer = ManifestWriter(store.root, "quick", {}, {})
    record = make_record()
    store.write(record)
    writer.cell(record, reused=False)
    result = sync(new_tracker().open(), store)
    assert (result.logged, result.in_progress) == (0, [writer.header.run_id])


def test_running_a_cell_again_logs_another_result(store: RecordStore, new_tracker: Callable[[], Tracker]) -> None:
    store.write(make_record(date="2026-11-20T08:00:00+00:00"))
    assert sync(new_tracker().open(), store).logged == 1
    store.write(make_record(date="2026-11-21T08:00:00+00:00"))
    assert sync(new_tracker().open(), store).logged == 1
    both = records_of_cell(new_tracker().open(), "pydoc-llama/relevance", "random")
    assert sorted(r.date[:10] for r in both) == ["2026-11-20", "2026-11-21"]


def test_curves_become_metrics_with_steps(new_tracker: Callable[[], Tracker]) -> None:
    record = make_record(MadeUpMethod("msa"))
    assert record.coalitions is not None
    curves = {"error": [[100, 0.5], [200, 0.25], [400, 0.125]], "bad": [[1, "x"]], "n@me": [[0, 1.0]]}
    notes = {"curves": curves | {"long": [[i, float(i)] for i in range(5000)]}}
    record = record.model_copy(update={"coalitions": record.coalitions.model_copy(update={"notes": notes})})
    tracker = new_tracker().open()
    run_id = tracker.log(record)
    assert run_id is not None
    history = tracker.client.get_metric_history(run_id, "curve/error")
    assert [(m.step, m.value) for m in history] == [(100, 0.5), (200, 0.25), (400, 0.125)]
    long = tracker.client.get_metric_history(run_id, "curve/long")
    assert len(long) == 1000
    assert max(m.step for m in long) == 4999
    left_out = tracker.client.get_run(run_id).data.tags["coterie.left_out"]
    assert left_out == "curve/bad, curve/n@me"
