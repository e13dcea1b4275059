"""Two runs on one output folder, random kills, full and read-only disks: no record is lost, duplicated or damaged."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from coterie.benchmark.runner import worker
from coterie.tracking.quiet import quiet_mlflow
from coterie.tracking.store import RecordStore

FAULTY = Path(__file__).parent / "faulty.py"
KILLS, CELLS = 50, 150
LIMIT = 1800  # seconds: fails a process that hangs, but not one that is slow because the machine is busy


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "coterie.benchmark",
        "run",
        "-t",
        "planted/coactive",
        "--output-folder",
        str(folder),
    ]
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,  # a separate process group, so that it can be killed as a whole
    )


def finished_runs(folder: Path) -> Counter[str]:
    """How many finished runs MLflow has for each identity."""
    from mlflow import MlflowClient

    with quiet_mlflow():
        client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("coterie")
        assert experiment is not None
        runs, token = [], None
        while True:
            page = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'", page_token=token)
            runs += page
            if not (token := page.token):
                break
    return Counter(v for run in runs for tag, v in run.data.tags.items() if tag.endswith("identity"))


def check_store(folder: Path) -> RecordStore:
    """Check that every file is a complete record in its own place, without duplicates."""
    store = RecordStore(folder)
    scan = store.scan()
    assert scan.unreadable == []
    digests = [r.identity_digest for r in scan.records]
    assert len(digests) == len(set(digests))
    return store


@pytest.mark.slow
def test_fifty_random_kills_lose_no_record(tmp_path: Path) -> None:
    """Fifty times kill -9, of the whole process group, of only the run or of workers, at random moments."""
    rng = random.Random(0)  # for the moments of the kills, not the results
    arguments = (
        "--include",
        str(FAULTY),
        "-m",
        "faulty[fault=slow]",
        "--seeds",
        str(CELLS),
        "-j",
        "2",
        "--retry-failed",
    )
    kills: Counter[str] = Counter()
    seen: dict[str, str] = {}
    while sum(kills.values()) < KILLS:
        process = start(tmp_path, *arguments)
        deadline = time.monotonic() + LIMIT
        for _ in range(rng.randint(2, 8)):
            workers = wait_for_workers(process, deadline)
            time.sleep(rng.uniform(0, 0.6))
            with contextlib.suppress(psutil.NoSuchProcess):
                rng.choice(workers).kill()
                kills["worker"] += 1
        time.sleep(rng.uniform(0, 1.0))
        whole = rng.random() < 0.5
        kills["group" if whole else "run"] += 1
        if whole:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
        for record in check_store(tmp_path).all():
            if seen.get(record.identity_digest) == "ok":
                assert record.status == "ok"
            seen[record.identity_digest] = record.status
        assert set(seen) == {r.identity_digest for r in RecordStore(tmp_path).all()}, "a record was lost"

    last = start(tmp_path, *arguments, "--quiet")
    printed, _ = last.communicate(timeout=LIMIT)
    assert last.returncode == 0, printed
    records = check_store(tmp_path).all()
    assert sorted(r.seed for r in records) == list(range(CELLS))
    assert {r.status for r in records} == {"ok"}
    assert finished_runs(tmp_path) == Counter(r.identity_digest for r in records)
    assert set(kills) == {"worker", "run", "group"}


def wait_for_workers(process: subprocess.Popen[str], deadline: float) -> list[psutil.Process]:
    """The worker processes, once there is at least one."""
    while True:
        workers = psutil.Process(process.pid).children()
        workers = [w for w in workers if is_worker(w)]
        if workers:
            return workers
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no worker started in time"
        time.sleep(0.05)


def is_worker(process: psutil.Process) -> bool:
    try:
        return worker.__name__ in process.cmdline()
    except psutil.Error:
        return False


@pytest.mark.slow
def test_two_simultaneous_runs_share_the_cells(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    method = f'faulty[fault=counts,path="{ran}"]'
    arguments = ("--include", str(FAULTY), "-m", method, "--seeds", "20")
    both = [start(tmp_path / "out", *arguments) for _ in range(2)]
    printed = [process.communicate(timeout=LIMIT)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert len(ran.read_text().splitlines()) == 20, "a cell ran twice"
    records = check_store(tmp_path / "out").all()
    assert sorted(r.seed for r in records) == list(range(20))
    assert finished_runs(tmp_path / "out") == Counter(r.identity_digest for r in records)
    for text in printed:
        assert "[20/20]" in text, "both runs report all cells"


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 48 MB."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted on this machine: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_or_is_read_only_stops_the_run_and_keeps_its_records(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        filler = disk / "filler"
        method = f'faulty[fault=fill_the_disk,path="{filler}"]'
        arguments = (
            "--include",
            str(FAULTY),
            "-m",
            "random",
            "-m",
            method,
            "--tracking-uri",
            f"sqlite:///{tmp_path}/m.db",
        )
        before = start(disk / "out", *arguments[:4], "--seeds", "2", *arguments[-2:])
        printed, _ = before.communicate(timeout=LIMIT)
        assert before.returncode == 0, printed
        full = start(disk / "out", *arguments, "--seeds", "2")
        printed, _ = full.communicate(timeout=LIMIT)
        assert full.returncode == 2
        assert "free disk space, got a full disk" in printed
        assert "Traceback" not in printed
        stored = [r.method_name for r in check_store(disk / "out").all()]
        assert stored.count("random") == 2, "finished records were lost"
        assert len(stored) < 4, "the disk was never full"
        again = start(disk / "out", *arguments, "--seeds", "2")
        assert "free disk space" in again.communicate(timeout=LIMIT)[0]
        assert again.returncode == 2

        filler.unlink()
        fine = start(disk / "out", *arguments[:4], "--seeds", "3", *arguments[-2:])
        printed, _ = fine.communicate(timeout=LIMIT)
        assert fine.returncode == 0, printed
        assert "2 of 3 cells were finished before and reused" in printed

        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        frozen = start(disk / "out", *arguments[:4], "--seeds", "4", *arguments[-2:])
        printed, _ = frozen.communicate(timeout=LIMIT)
        assert frozen.returncode == 2
        assert "expected a writable folder" in printed
        assert [r.method_name for r in check_store(disk / "out").all()].count("random") == 3
