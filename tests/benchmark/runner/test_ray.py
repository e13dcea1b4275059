"""Cells on a Ray cluster of several processes yield the same records as on one machine, even when a node dies."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coterie.benchmark.errors import UsageError
from coterie.benchmark.runner.executors.base import Limits
from coterie.benchmark.runner.executors.ray import RayExecutor
from coterie.benchmark.runner.grid import Run, make_executor
from coterie.benchmark.runner.messages import CellRequest, Listener
from coterie.methods.registry import include
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore
from tests.benchmark.runner.test_workers import FAULTY, grid
from tests.records import alike

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head node without cores and two nodes with one core each, all of them processes on this machine."""
    pytest.importorskip("ray", reason="Ray is not installed; fix: pip install 'coterie[ray]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        from ray.cluster_utils import Cluster

        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        made.add_node(num_cpus=1)
        made.add_node(num_cpus=1)
        ray.init(address=made.address, log_to_driver=False, logging_level="error")
    include(FAULTY)
    yield made
    ray.shutdown()
    made.shutdown()


class EventListener(Listener):
    def __init__(self) -> None:
        self.starts: list[str] = []
        self.steps: set[str] = set()

    def started(self, request: CellRequest) -> None:
        self.starts.append(request.identity.digest())

    def progress(self, request: CellRequest, step: str, count: int) -> None:
        self.steps.add(step)


def test_records_equal_those_of_one_machine_even_for_misbehaving_methods(cluster: Any, tmp_path: Path) -> None:
    def records(executor: str) -> dict[str, Record]:
        selectors = ("random", "faulty[fault=hard_exit]", "faulty[fault=slow]", "raises")
        store = RecordStore(tmp_path / executor)
        run = Run(grid(*selectors, executor=executor, limits=Limits(seconds=600)), store, Listener())
        with make_executor(run) as made:
            return {record.identity_digest: record for record, _ in run.cells(made)}

    local, ray = records("local"), records("ray")
    assert set(local) == set(ray)
    for digest, record in local.items():
        other = ray[digest]
        assert (other.status, other.reason and other.reason[:20]) == (
            record.status,
            record.reason and record.reason[:20],
        )
        assert alike(other, record)  # up to rounding: Ray's workers may have other numbers of threads
    assert len(RecordStore(tmp_path / "ray").scan().records) == 4


def test_no_cell_is_lost_when_a_node_dies(cluster: Any, tmp_path: Path) -> None:
    import ray

    listener, seeds = EventListener(), 30
    doomed = cluster.add_node(num_cpus=1)
    run = Run(grid("faulty[fault=slow]", executor="ray", seeds=seeds, n_jobs=3), RecordStore(tmp_path), listener)
    records: list[Record] = []
    with make_executor(run) as made:
        for record, _ in run.cells(made):
            records.append(record)
            if len(records) == 5:
                cluster.remove_node(doomed, allow_graceful=False)
    assert sorted(r.seed for r in records) == list(range(seeds))
    assert {r.status for r in records} == {"ok"}
    assert run.not_run == []
    scan = RecordStore(tmp_path).scan()
    assert (len(scan.records), scan.unreadable) == (seeds, [])
    assert len(listener.starts) > seeds, "no cell of the dead node was started again"
    assert "proposing coalitions" in listener.steps or "scoring" in listener.steps
    until = time.monotonic() + 600  # the cluster notices after a while
    while len([n for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU")]) != 2:
        assert time.monotonic() < until, "the dead node still counts as alive"
        time.sleep(0.5)


def test_device_cuda_requires_a_gpu_per_worker(cluster: Any) -> None:
    with (
        pytest.raises(UsageError, match="expected a cluster with GPUs, got one without"),
        RayExecutor(None, Limits(), "cuda", None),
    ):
        pass
    cluster.add_node(num_cpus=4, num_gpus=2)
    with RayExecutor(None, Limits(), "cuda", None) as made:
        assert len(made._slots) == 2, "one worker per GPU"
