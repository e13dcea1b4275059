"""Cells on a Ray cluster. Ray decides where; on each node a worker process is watched over as it is on one machine.

An actor supervises one worker process (``supervisor.py``), so that a crash, a hang
or a limit becomes the same record as everywhere. What is left to lose is the actor itself, with its node: then the cell
is not at fault, and is run again elsewhere.

The nodes need coterie, and the task's and include files under the same paths; a worker refuses code or texts that differ
from those that the run was planned with.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter

from coterie.benchmark.errors import UsageError
from coterie.benchmark.runner.executors import Agenda, Found, Limits, Outcome
from coterie.benchmark.runner.executors.supervisor import Supervisor
from coterie.benchmark.runner.messages import Done, Listener, NotRun, Order
from coterie.tracking.record import Record

_ATTEMPTS = 4  # how often a cell is begun whose node goes away
_POLL_SECONDS = 0.5
_OUTCOME: TypeAdapter[Done | NotRun] = TypeAdapter(Done | NotRun)


class RayWorker:
    """The actor: one worker process on its node. Everything that it is told and tells is JSON."""

    def __init__(self, seconds: float | None, memory: int | None, threads: int) -> None:
        self._supervisor = Supervisor(Limits(seconds, memory), threads)
        self._heard = _Heard()

    def run(self, order: str) -> str:
        """The outcome of an order."""
        outcome = self._supervisor.run(Order.model_validate_json(order), self._heard)
        message = Done(record=outcome) if isinstance(outcome, Record) else outcome
        return message.model_dump_json()

    def heard(self) -> tuple[str, int, list[tuple[str, float]]]:
        """Where the running cell is, and the seconds by phase since the last time."""
        return self._heard.take()


class _Heard(Listener):
    """Keeps the news until they are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: tuple[str, int] = ("starting", 0)
        self._spent: list[tuple[str, float]] = []

    def at(self, order: Order, step: str, count: int) -> None:  # noqa: ARG002 - an actor has one at a time
        self._at = step, count

    def spent(self, phase: str, seconds: float) -> None:
        with self._lock:
            self._spent.append((phase, seconds))

    def take(self) -> tuple[str, int, list[tuple[str, float]]]:
        with self._lock:
            spent, self._spent = self._spent, []
        return *self._at, spent


@dataclass
class _Slot:
    """A place for an actor, and what it is doing."""

    actor: Any = None
    task: str | None = None  # the fingerprint of the task that its worker has loaded
    order: Order | None = None
    outcome: Any = None  # the reference of the outcome to come
    news: Any = None


@dataclass
class _Retries:
    """Cells whose node went away."""

    waiting: list[Order] = field(default_factory=list)
    begun: dict[str, int] = field(default_factory=dict)


class RayExecutor:
    """As many actors at once as ``n_jobs`` says; by default one a GPU, or, on the CPU, one a node with all its cores."""

    def __init__(self, n_jobs: int | None, limits: Limits, device: str, address: str | None) -> None:
        try:
            with warnings.catch_warnings():  # its own, at import
                warnings.simplefilter("ignore")
                import ray
        except ImportError:
            raise UsageError(
                "--executor ray: expected Ray, got none; fix: pip install 'coterie[ray]' on every node"
            ) from None
        self._ray, self._n_jobs, self._limits, self._device, self._address = ray, n_jobs, limits, device, address
        self._slots: list[_Slot] = []
        self._retries = _Retries()
        self._started_here = False

    def __enter__(self) -> Self:
        if not self._ray.is_initialized():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    self._ray.init(address=self._address, log_to_driver=False, logging_level="error")
                except ConnectionError as error:
                    raise UsageError(
                        f"--address {self._address or 'RAY_ADDRESS'}: expected a Ray cluster, got: {error}; fix: ray start "
                        f"--head on one machine, then its address"
                    ) from None
            self._started_here = True
        n_jobs, cpus = self._room()
        self._slots = [_Slot() for _ in range(n_jobs)]
        gpus = 1 if self._device == "cuda" else 0
        self._make = self._ray.remote(RayWorker).options(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_concurrency=2, scheduling_strategy="SPREAD"
        )
        self._threads = cpus
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for slot in self._slots:
            self._drop(slot)
        if self._started_here:
            self._ray.shutdown()

    def _room(self) -> tuple[int, int]:
        """How many workers at once, and how many cores each."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        gpus = int(sum(node.get("GPU", 0) for node in nodes))
        if not nodes or (self._device == "cuda" and not gpus):
            what = "GPUs" if self._device == "cuda" else "CPUs"
            raise UsageError(
                f"--executor ray: expected a cluster with {what}, got one without; fix: --device cpu, or add nodes"
            )
        n_jobs = self._n_jobs or (gpus if self._device == "cuda" else len(nodes))
        a_node = math.ceil(n_jobs / len(nodes))
        return n_jobs, max(1, int(min(node["CPU"] for node in nodes)) // a_node)

    def run(self, agenda: Agenda, listener: Listener) -> Iterator[Outcome]:
        """Yield what came of each cell, as it comes."""
        while True:
            yield from self._hand_out(agenda, listener)
            running = {slot.outcome: slot for slot in self._slots if slot.outcome is not None}
            if not running:
                return
            ready, _ = self._ray.wait(list(running), timeout=_POLL_SECONDS)
            for reference in ready:
                outcome = self._collect(running[reference])
                if outcome is not None:
                    yield outcome
            self._listen(listener)

    def _hand_out(self, agenda: Agenda, listener: Listener) -> Iterator[Outcome]:
        """Give every idle worker a cell. One for which there is none gives its place on the cluster free."""
        for slot in self._slots:
            while slot.outcome is None:
                busy = any(s.outcome is not None for s in self._slots)
                order = self._retries.waiting.pop() if self._retries.waiting else agenda.take(slot.task, wait=not busy)
                if isinstance(order, Found):
                    yield order
                elif order is None:
                    self._drop(slot)
                    break
                else:
                    self._begin(slot, order)
                    listener.began(order)

    def _begin(self, slot: _Slot, order: Order) -> None:
        if slot.actor is None:
            slot.actor = self._make.remote(self._limits.seconds, self._limits.memory, self._threads)
        slot.order, slot.outcome, slot.news = order, slot.actor.run.remote(order.model_dump_json()), None
        digest = order.identity.digest()
        self._retries.begun[digest] = self._retries.begun.get(digest, 0) + 1

    def _collect(self, slot: _Slot) -> Record | NotRun | None:
        """The outcome of a worker that is done; None where its node went away and the cell will be run again."""
        from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, WorkerCrashedError

        order, reference = slot.order, slot.outcome
        slot.order = slot.outcome = slot.news = None
        if order is None:
            raise RuntimeError("expected an order with every outcome")
        try:
            message = _OUTCOME.validate_json(self._ray.get(reference))
        except (RayActorError, NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError) as error:
            self._drop(slot)
            if self._retries.begun[order.identity.digest()] < _ATTEMPTS:
                self._retries.waiting.append(order)
                return None
            reason = f"its node went away {_ATTEMPTS} times: {' '.join(str(error).split())[:500]}"
            return NotRun(identity=order.identity, cell=order.cell, reason=reason)
        slot.task = order.identity.task_fingerprint
        return message.record if isinstance(message, Done) else message

    def _listen(self, listener: Listener) -> None:
        """Pass on what the workers have told since."""
        from ray.exceptions import RayError

        for slot in self._slots:
            if slot.order is None:
                continue
            if slot.news is None:
                slot.news = slot.actor.heard.remote()
            elif self._ray.wait([slot.news], timeout=0)[0]:
                news, slot.news = slot.news, None
                try:
                    step, count, spent = self._ray.get(news)
                except RayError:  # the node went away: that shows in the outcome
                    continue
                listener.at(slot.order, step, count)
                for phase, seconds in spent:
                    listener.spent(phase, seconds)

    def _drop(self, slot: _Slot) -> None:
        if slot.actor is not None:
            self._ray.kill(slot.actor)
        slot.actor, slot.task = None, None
