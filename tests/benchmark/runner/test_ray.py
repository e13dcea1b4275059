"""The same cells on a Ray cluster of several processes: the same records, also when a node dies."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coterie.benchmark.errors import UsageError
from coterie.benchmark.runner.executors import Limits
from coterie.benchmark.runner.executors.ray import RayExecutor
from coterie.benchmark.runner.grid import Run, make_executor
from coterie.benchmark.runner.messages import Listener, Order
from coterie.methods.registry import include
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore
from tests.benchmark.runner.test_workers import FAULTY, grid
from tests.records import alike

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without room for work, and two nodes of one core, as processes of their own."""
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


class Heard(Listener):
    def __init__(self) -> None:
        self.began_: list[str] = []
        self.steps: set[str] = set()

    def began(self, order: Order) -> None:
        self.began_.append(order.identity.digest())

    def at(self, order: Order, step: str, count: int) -> None:
        self.steps.add(step)


def test_the_same_records_as_on_one_machine_whatever_the_methods_do(cluster: Any, tmp_path: Path) -> None:
    def records(executor: str) -> dict[str, Record]:
        selectors = ("random", "faulty[fault=hard_exit]", "faulty[fault=slow]", "raises")
        store = RecordStore(tmp_path / executor)
        run = Run(grid(*selectors, executor=executor, limits=Limits(seconds=600)), store, Listener())
        with make_executor(run) as made:
            return {record.identity_digest: record for record, _ in run.cells(made)}

    here, there = records("local"), records("ray")
    assert set(here) == set(there)
    for digest, record in here.items():
        other = there[digest]
        assert (other.status, other.reason and other.reason[:20]) == (
            record.status,
            record.reason and record.reason[:20],
        )
        assert alike(other, record)  # not to the last bit: workers there may have other numbers of threads
    assert len(RecordStore(tmp_path / "ray").scan().records) == 4


def test_a_node_that_dies_costs_no_cell(cluster: Any, tmp_path: Path) -> None:
    import ray

    heard, seeds = Heard(), 30
    doomed = cluster.add_node(num_cpus=1)
    run = Run(grid("faulty[fault=slow]", executor="ray", seeds=seeds, n_jobs=3), RecordStore(tmp_path), heard)
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
    assert len(heard.began_) > seeds, "a cell of the dead node was begun again"
    assert "proposing coalitions" in heard.steps or "scoring" in heard.steps
    until = time.monotonic() + 600  # the cluster takes its time to notice
    while len([n for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU")]) != 2:
        assert time.monotonic() < until, "the dead node still counts as alive"
        time.sleep(0.5)


def test_a_gpu_is_asked_for_where_the_device_is_cuda(cluster: Any) -> None:
    with (
        pytest.raises(UsageError, match="expected a cluster with GPUs, got one without"),
        RayExecutor(None, Limits(), "cuda", None),
    ):
        pass
    cluster.add_node(num_cpus=4, num_gpus=2)
    with RayExecutor(None, Limits(), "cuda", None) as made:
        assert len(made._slots) == 2, "one worker a GPU"
