import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.tracking.errors import StoreError
from coterie.tracking.files import TEMPORARY_SUFFIX
from coterie.tracking.record import Identity, Record
from coterie.tracking.store import RecordStore
from tests.records import MadeUpMethod, make_record

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "out")


def leftovers(store: RecordStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.name.startswith(".")]


def test_the_path_of_a_record_consists_of_task_method_seed_and_identity(store: RecordStore) -> None:
    record = make_record("hedonic-oca", task="pydoc-llama/relevance", seed=3)
    path = store.write(record)
    assert path.relative_to(store.root).as_posix() == (
        f"records/pydoc-llama/relevance/hedonic-oca/3-{record.identity_digest[:16]}.json"
    )
    assert store.path_for(record.identity) == path


def test_written_records_are_found_and_listed(store: RecordStore) -> None:
    records = [make_record("random", seed=seed) for seed in range(3)] + [make_record("kmeans-weights", task="other")]
    for record in records:
        store.write(record)
    assert [store.find(record.identity) for record in records] == records
    assert sorted(r.identity_digest for r in store.all()) == sorted(r.identity_digest for r in records)
    assert store.find(make_record("random", seed=9).identity) is None
    assert leftovers(store) == []


def test_a_missing_folder_has_no_records(store: RecordStore) -> None:
    assert store.all() == []
    assert store.scan().unreadable == []


def test_writing_a_cell_again_replaces_its_record(store: RecordStore) -> None:
    failed = make_record("random", status="failed", reason="out of memory")
    done = make_record("random")
    store.write(failed)
    store.write(done)
    assert store.all() == [done]


def test_files_have_the_permissions_of_the_umask(store: RecordStore) -> None:
    before = os.umask(0o027)
    try:
        path = store.write(make_record())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interrupted_write_keeps_the_old_record(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old = make_record("random", date="2026-01-01T00:00:00+00:00")
    store.write(old)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write(make_record("random"))
    assert store.all() == [old]
    assert leftovers(store) == []


def test_a_full_disk_is_reported_and_keeps_the_old_record(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make_record("random", date="2026-01-01T00:00:00+00:00")
    store.write(old)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"expected at least 32.0 MiB .* got a full disk .* fix: make room"):
        store.write(make_record("random"))
    assert store.all() == [old]


WRITER = """
import sys
from pathlib import Path
from coterie.tracking.store import RecordStore
from tests.records import make_record
store = RecordStore(Path(sys.argv[1]))
records = [make_record("random", seed=i % 3, date=f"2026-11-22T08:00:{i:02}+00:00") for i in range(60)]
print("ready", flush=True)
while True:
    for record in records:
        store.write(record)
"""


def test_kill_9_while_writing_leaves_only_complete_records(store: RecordStore) -> None:
    for pause in (0.003, 0.02):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.root)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(pause)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        scan = store.scan()
        assert scan.unreadable == []
        assert 0 <= len(scan.records) <= 3


def test_every_other_file_is_reported_with_a_reason(store: RecordStore) -> None:
    good = make_record("random")
    path = store.write(good)
    text = path.read_text()
    bad = {
        "garbage.json": b"\xff\x00 not json",
        "truncated.json": text[: len(text) // 2].encode(),
        "edited.json": text.replace('"budget": 1000', '"budget": 9999').encode(),
        "newer.json": text.replace('"schema_version": 1', '"schema_version": 99').encode(),
        "0-copy.json": text.encode(),
    }
    assert all(content != text.encode() for name, content in bad.items() if name != "0-copy.json")
    for name, content in bad.items():
        (path.parent / name).write_bytes(content)
    (path.parent / "folder.json").mkdir()
    scan = store.scan()
    assert scan.records == [good]
    reasons = {problem.path.name: problem.reason for problem in scan.unreadable}
    assert set(reasons) == {*bad, "folder.json"}
    assert "edited by hand" in reasons["edited.json"]
    assert "schema_version" in reasons["newer.json"]
    assert str(path) in reasons["0-copy.json"]
    assert "directory" in reasons["folder.json"]
    assert str(scan.unreadable[0]).startswith(str(scan.unreadable[0].path))


def test_an_unreadable_record_is_logged_and_counts_as_not_run(
    store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    record = make_record("random")
    path = store.write(record)
    path.write_text("{")
    assert store.find(record.identity) is None
    assert store.all() == []
    assert [str(path) in message for message in caplog.messages] == [True, True]
    store.write(record)
    assert store.find(record.identity) == record


def test_leftovers_of_killed_processes_are_ignored_and_removed(store: RecordStore) -> None:
    folder = store.write(make_record("random")).parent
    old = folder / f".0-abc.json.123-dead{TEMPORARY_SUFFIX}"
    in_use = folder / f".0-abc.json.123-beef{TEMPORARY_SUFFIX}"
    not_ours = folder / ".notes.tmp"
    for path in (old, in_use, not_ours):
        path.write_text("{")
        os.utime(path, (0, 0) if path != in_use else None)
    assert store.scan().unreadable == []
    store.check_writable()
    assert sorted(leftovers(store)) == sorted([in_use, not_ours])


def test_check_writable_creates_an_empty_folder(store: RecordStore) -> None:
    store.check_writable()
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize("place", ["out", "out/records"])
def test_a_file_in_place_of_a_folder_is_reported(tmp_path: Path, place: str) -> None:
    blocking = tmp_path / place
    blocking.parent.mkdir(exist_ok=True)
    blocking.write_text("")
    with pytest.raises(StoreError, match=f"expected a folder .* got a file at {blocking}; fix: .*--output-folder"):
        RecordStore(tmp_path / "out").check_writable()


def test_too_little_space_is_reported_before_work_starts(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**30, 2**30, 3 * 2**20))
    with pytest.raises(StoreError, match=r"32\.0 MiB of free disk space, got a full disk or quota"):
        store.check_writable()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_read_only_folder_is_reported(store: RecordStore, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=r"expected a writable folder, got: .* fix: change its permissions"):
        store.check_writable()


names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}(/[a-z0-9][a-z0-9._-]{0,20})?", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=30, deadline=None)
@given(task=names, method=names, parameters=st.dictionaries(st.text(max_size=20), values, max_size=4))
def test_any_names_and_parameters_are_stored_inside_the_folder(
    tmp_path_factory: pytest.TempPathFactory, task: str, method: str, parameters: dict[str, object]
) -> None:
    store = RecordStore(tmp_path_factory.mktemp("out"))
    record = make_record(MadeUpMethod(method, parameters=parameters), task=task)
    path = store.write(record)
    assert path.resolve().is_relative_to(store.folder.resolve())
    assert store.find(record.identity) == record
    assert store.scan().unreadable == []


@pytest.mark.parametrize("name", ["../evil", "a/../../b", "", "A", "a\n", "a//b", "/etc"])
def test_a_name_that_could_leave_the_folder_is_invalid(name: str) -> None:
    fields = make_record().identity.model_dump()
    with pytest.raises(ValueError, match="method_name"):
        Identity.model_validate({**fields, "method_name": name})


def test_a_date_must_be_iso_8601_and_defaults_to_utc() -> None:
    assert make_record(date="2026-11-22T09:30:00+02:00").when.isoformat() == "2026-11-22T07:30:00+00:00"
    assert make_record(date="2026-11-22T09:30:00").when.isoformat() == "2026-11-22T09:30:00+00:00"
    with pytest.raises(ValueError, match="date: expected ISO 8601, got 'yesterday'"):
        make_record(date="yesterday")


def test_a_record_read_back_is_equal_to_the_last_bit() -> None:
    record = make_record("random")
    assert Record.from_json(record.to_json()) == record


def test_results_of_one_cell_always_have_different_dates(store: RecordStore) -> None:
    """Even if the clock does not tick or is set back a little. A clock set back by a day is taken at its word."""
    dates = []
    for date in ("2026-11-22T08:00:00+00:00",) * 3 + ("2026-11-22T10:00:00+02:00", "2026-11-22T07:59:30"):
        record = store.with_later_date(make_record(date=date))
        store.write(record)
        dates.append(record.when)
    assert dates == sorted(set(dates))
    assert len(dates) == 5
    back = make_record(date="2026-11-21T08:00:00+00:00")
    assert store.with_later_date(back) == back
    other = make_record(seed=1, date="2026-11-22T08:00:00+00:00")
    assert store.with_later_date(other) == other
