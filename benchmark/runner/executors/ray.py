"""Run cells on a Ray cluster. Ray chooses the node; each node supervises its workers as a single machine does.

An actor supervises one worker process (`supervisor.py`), so a crash, a hang or an exceeded limit becomes the same record
as elsewhere. Only the actor itself can still be lost, together with its node. In that case its cell is not at fault and runs
again on another node.

The nodes need coterie, and the task's files and the include files under the same paths. A worker refuses a request if its
code or texts differ from those that the run was planned with.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from coterie.benchmark.errors import UsageError
from coterie.benchmark.runner.executors.base import Agenda, Executor, Limits
from coterie.benchmark.runner.executors.supervisor import Supervisor
from coterie.benchmark.runner.messages import CellRequest, Finished, Listener, NotRun, Outcome

_ATTEMPTS = 4  # how often a cell is started before its nodes' failures count against it
_POLL_SECONDS = 0.5
_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


class RayWorker:
    """The actor: one worker process on its node. Requests and outcomes are JSON."""

    def __init__(self, seconds: float | None, memory: int | None, threads: int) -> None:
        self._supervisor = Supervisor(Limits(seconds, memory), threads)
        self._events = _EventBuffer()

    def run(self, request: str) -> str:
        """The outcome of a request."""
        return self._supervisor.run(CellRequest.model_validate_json(request), self._events).model_dump_json()

    def events(self) -> tuple[str, int, list[tuple[str, float]]]:
        """The running cell's step, its count, and the seconds by phase since the last call."""
        return self._events.take()


class _EventBuffer(Listener):
    """Keeps events until they are fetched."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: tuple[str, int] = ("starting", 0)
        self._spent: list[tuple[str, float]] = []

    def progress(self, request: CellRequest, step: str, count: int) -> None:  # noqa: ARG002 - an actor runs one cell
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
    """A place for an actor, and what the actor is doing."""

    actor: Any = None
    """Ray's handle; None while the slot is released."""
    task: str | None = None
    """The fingerprint of the task that the actor's worker has loaded."""
    request: CellRequest | None = None
    """The running cell."""
    outcome: Any = None
    """Ray's reference to the future outcome."""
    events: Any = None
    """Ray's reference to the future events."""


class RayExecutor(Executor):
    """Runs `n_jobs` actors: by default one per GPU or, on the CPU, one per node with all its cores."""

    def __init__(self, n_jobs: int | None, limits: Limits, device: str, address: str | None) -> None:
        try:
            with warnings.catch_warnings():  # Ray's own, at import
                warnings.simplefilter("ignore")
                import ray
        except ImportError:
            raise UsageError(
                "--executor ray: expected Ray, got none; fix: pip install 'coterie[ray]' on every node"
            ) from None
        self._ray, self._n_jobs, self._limits, self._device, self._address = ray, n_jobs, limits, device, address
        self._slots: list[_Slot] = []
        self._retries: list[CellRequest] = []  # cells whose node failed
        self._attempts: Counter[str] = Counter()  # starts by identity digest
        self._connected_here = False

    def start(self) -> None:
        """Connect to the cluster. Raises `UsageError` if none answers or if it lacks the device."""
        if not self._ray.is_initialized():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    self._ray.init(address=self._address, log_to_driver=False, logging_level="error")
                except ConnectionError as error:
                    raise UsageError(
                        f"--address {self._address or 'RAY_ADDRESS'}: expected a Ray cluster, got: {error}; fix: run ray "
                        f"start --head on one machine, then pass its address"
                    ) from None
            self._connected_here = True
        n_jobs, cores = self._capacity()
        self._slots = [_Slot() for _ in range(n_jobs)]
        gpus = 1 if self._device == "cuda" else 0
        self._actor_class = self._ray.remote(RayWorker).options(
            num_cpus=cores, num_gpus=gpus, max_restarts=0, max_concurrency=2, scheduling_strategy="SPREAD"
        )
        self._threads = cores

    def close(self) -> None:
        """Kill all actors and disconnect."""
        for slot in self._slots:
            self._release(slot)
        if self._connected_here:
            self._ray.shutdown()

    def _capacity(self) -> tuple[int, int]:
        """The number of workers, and of cores per worker."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        gpus = int(sum(node.get("GPU", 0) for node in nodes))
        if not nodes or (self._device == "cuda" and not gpus):
            what = "GPUs" if self._device == "cuda" else "CPUs"
            raise UsageError(
                f"--executor ray: expected a cluster with {what}, got one without; fix: --device cpu, or add nodes"
            )
        n_jobs = self._n_jobs or (gpus if self._device == "cuda" else len(nodes))
        per_node = math.ceil(n_jobs / len(nodes))
        return n_jobs, max(1, int(min(node["CPU"] for node in nodes)) // per_node)

    def run(self, agenda: Agenda, listener: Listener) -> Iterator[Outcome]:
        """Yield the outcome of each cell as it arrives."""
        while True:
            yield from self._assign(agenda, listener)
            running = {slot.outcome: slot for slot in self._slots if slot.outcome is not None}
            if not running:
                return
            ready, _ = self._ray.wait(list(running), timeout=_POLL_SECONDS)
            for reference in ready:
                outcome = self._collect(running[reference])
                if outcome is not None:
                    yield outcome
            self._forward_events(listener)

    def _assign(self, agenda: Agenda, listener: Listener) -> Iterator[Outcome]:
        """Give every idle worker a cell. An idle worker without work releases its slot."""
        for slot in self._slots:
            while slot.outcome is None:
                busy = any(s.outcome is not None for s in self._slots)
                taken = self._retries.pop() if self._retries else agenda.take(slot.task, wait=not busy)
                if isinstance(taken, Finished):
                    yield taken
                elif taken is None:
                    self._release(slot)
                    break
                else:
                    self._begin(slot, taken)
                    listener.started(taken)

    def _begin(self, slot: _Slot, request: CellRequest) -> None:
        if slot.actor is None:
            slot.actor = self._actor_class.remote(self._limits.seconds, self._limits.memory, self._threads)
        slot.request, slot.outcome, slot.events = request, slot.actor.run.remote(request.model_dump_json()), None
        self._attempts[request.identity.digest()] += 1

    def _collect(self, slot: _Slot) -> Outcome | None:
        """The outcome of a finished cell; None if its node failed and the cell will run again."""
        from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, WorkerCrashedError

        request, reference = slot.request, slot.outcome
        slot.request = slot.outcome = slot.events = None
        if request is None:
            raise RuntimeError("expected a request with every outcome")
        try:
            outcome = _OUTCOME.validate_json(self._ray.get(reference))
        except (RayActorError, NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError) as error:
            self._release(slot)
            if self._attempts[request.identity.digest()] < _ATTEMPTS:
                self._retries.append(request)
                return None
            return NotRun.of(request, f"its node failed {_ATTEMPTS} times: {' '.join(str(error).split())[:500]}")
        slot.task = request.identity.task_fingerprint
        return outcome

    def _forward_events(self, listener: Listener) -> None:
        """Pass on the workers' events since the last call."""
        from ray.exceptions import RayError

        for slot in self._slots:
            if slot.request is None:
                continue
            if slot.events is None:
                slot.events = slot.actor.events.remote()
            elif self._ray.wait([slot.events], timeout=0)[0]:
                reference, slot.events = slot.events, None
                try:
                    step, count, spent = self._ray.get(reference)
                except RayError:  # the node failed, which the outcome reports
                    continue
                listener.progress(slot.request, step, count)
                for phase, seconds in spent:
                    listener.spent(phase, seconds)

    def _release(self, slot: _Slot) -> None:
        if slot.actor is not None:
            self._ray.kill(slot.actor)
        slot.actor, slot.task = None, None
