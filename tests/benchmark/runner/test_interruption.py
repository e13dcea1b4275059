"""Ctrl-C during a run: finished cells are kept, the others run next time. For kill -9 see test_concurrency.py."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coterie.tracking.quiet import quiet_mlflow
from coterie.tracking.store import RecordStore

SEEDS = 1000  # too many for the run to finish before the test sees two records, even on a busy machine


def start(task_file: Path, folder: Path, seeds: int = SEEDS) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "coterie.benchmark", "run", "-t", str(task_file), "-m", "random"]
    options = ["--seeds", str(seeds), "--output-folder", str(folder)]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_records(folder: Path, n: int) -> None:
    deadline = time.monotonic() + 600
    while len(list((folder / "records").rglob("0-*.json" if n == 1 else "*.json"))) < n:
        assert time.monotonic() < deadline, "no record within ten minutes"
        time.sleep(0.02)


@pytest.mark.slow
def test_the_next_run_continues_after_the_finished_cells(
    task_file: Path, tmp_path: Path, pydoc_domains: object
) -> None:
    from mlflow import MlflowClient

    process = start(task_file, tmp_path)
    wait_for_records(tmp_path, 2)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    scan = RecordStore(tmp_path).scan()
    assert scan.unreadable == []
    finished = {r.seed: r for r in scan.records}
    assert 2 <= len(finished) < SEEDS, "the run ended before it was interrupted"

    seeds = max(finished) + 3
    printed, _ = start(task_file, tmp_path, seeds).communicate()
    assert f"{len(finished)} of {seeds} cells were finished before and reused" in printed
    again = {r.seed: r for r in RecordStore(tmp_path).all()}
    assert sorted(again) == list(range(seeds))
    assert all(again[seed] == record for seed, record in finished.items())

    with quiet_mlflow():
        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("coterie")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    digests = [r.data.tags[tag] for r in runs for tag in r.data.tags if tag.endswith("identity")]
    assert len(digests) == len(set(digests)), "a cell was logged twice"
    assert set(digests) == {r.identity_digest for r in again.values()}
