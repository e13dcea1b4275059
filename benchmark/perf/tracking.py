"""The cost of tracking: the overhead per cell of a run, and reading, syncing and history with many cells.

`python -m coterie.benchmark.perf.tracking 10000 [--folder DIR] [--tracking-uri URI]` generates that many records (20 methods,
the size of real records), then prints how long each step takes. A folder passed with --folder is kept, so that a second call
measures the records already in it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from coterie.benchmark.results import history, runs
from coterie.tracking.manifest import ManifestWriter
from coterie.tracking.mlflow_log import Tracker
from coterie.tracking.record import CoalitionSet, Cost, Environment, Identity, Measure, MethodInfo, Record, TaskInfo
from coterie.tracking.run_log import RunLog
from coterie.tracking.store import RecordStore
from coterie.tracking.sync import sync

TASK, METHODS, QUERIES = "made-up/task", 20, 64
METRICS = [(name, domain) for name in ("synergy", "ndcg_drop", "ood_r2") for domain in ("heldout", "pandas", "mlflow")]


@contextmanager
def timed(what: str, each: int = 0) -> Iterator[None]:
    """Print the seconds of the block and, with `each` cells, the milliseconds per cell."""
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    print(f"{what}: {seconds:.2f} s" + (f", {1000 * seconds / each:.1f} ms per cell" if each else ""), flush=True)


def generated(number: int) -> Record:
    """The record of cell `number`: 3 metrics in 3 domains over 64 queries, 32 coalitions of 8, as in the bundled tasks."""
    random = np.random.default_rng(number)
    method = f"method-{number % METHODS:02}"
    identity = Identity(
        protocol="coterie-2",
        settings={"max_coalitions": 32},
        task_name=TASK,
        task_fingerprint="f" * 64,
        method_name=method,
        parameters={"k": 3, "affinity": "oca"},
        code_hash=f"{number // METHODS % 50:064x}",
        budget=1000,
        seed=number // METHODS // 50,
    )
    return Record(
        identity=identity,
        identity_digest=identity.digest(),
        date=f"2026-11-{1 + number // METHODS % 28:02}T08:00:00+00:00",
        status="ok",
        task=TaskInfo(
            dataset_revision="r" * 64, model_hash="m" * 64, architecture="Llama", objective="relevance", layer=2,
            intervention="zero", readout="score", n_players=352, queries={"heldout": QUERIES}, ndcg_at_10={},
        ),
        method=MethodInfo(selector=method, sees=["activations"], reference="", summary="made up"),
        environment=Environment(
            coterie_version="0.1.0", git_hash="a" * 40, python="3.11", packages={"torch": "2"}, platform="Linux",
            device="cpu", threads=2,
        ),
        cost=Cost(evaluations={"ablations": 1000}, discovery_seconds=1, scoring_seconds=5, peak_memory_bytes=10**9),
        coalitions=CoalitionSet(n_players=352, groups=random.permutation(352)[:256].reshape(32, 8).tolist()),
        scores=[_measure(metric, domain, random.normal(0.1, 1, QUERIES)) for metric, domain in METRICS],
    )  # fmt: skip


def _measure(metric: str, domain: str, values: np.ndarray) -> Measure:
    value, half = float(values.mean()), float(1.96 * values.std() / QUERIES**0.5)
    return Measure(
        metric=metric, domain=domain, unit="sd", higher_is_better=True, primary=domain == "heldout", value=value,
        low=value - half, high=value + half, method_value=value, control_value=0.0, numerator=values.tolist(),
        denominator=[1.0] * QUERIES,
    )  # fmt: skip


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--tracking-uri")
    parser.add_argument(
        "--run-cells", type=int, default=50, help="number of cells in the run whose overhead is measured"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(arguments.folder or Path(temporary), arguments.cells, arguments.run_cells, arguments.tracking_uri)


def measure(folder: Path, cells: int, run_cells: int, uri: str | None) -> None:
    """Time every step on one output folder."""
    store = RecordStore(folder)
    if not store.folder.exists():
        records = [generated(i) for i in range(cells + run_cells)]
        with timed("opening the store (the first time creates the database)"):
            Tracker(uri, folder).open()
        log = RunLog(Tracker(uri, folder), store, "made up", {}, {})
        with timed(f"overhead of tracking, {run_cells} cells of a run", run_cells), log:
            for record in records[cells:]:
                store.write(record)
                log.cell(record, False)
        if log.problems:
            print(log.problems)
        writer = ManifestWriter(folder, "made up", {}, {})
        with timed(f"writing {cells} records", cells):
            for record in records[:cells]:
                store.write(record)
                writer.cell(record, reused=False)
            writer.end("FINISHED")
    with timed("reading all records"):
        n = len(store.scan().records)
    with timed("coterie sync", n):
        print(sync(Tracker(uri, folder).open(), store))
    with timed("coterie sync again, nothing missing", n):
        print(sync(Tracker(uri, folder).open(), store))
    with timed("coterie history"):
        print(len(history(TASK, "method-00", output_folders=[folder], tracking_uri=uri)), "rows")
    with timed("coterie runs"):
        print(len(runs(folder)), "runs")


if __name__ == "__main__":
    main()
