"""The machine's load while a run works, sampled in a thread as MLflow's own monitors do, under MLflow's names."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from coterie.tracking.manifest import Sample
from coterie.tracking.quiet import quiet_mlflow

INTERVAL = 10.0  # seconds, MLflow's default
PREFIX = "system/"  # MLflow's pages show metrics of this name on a tab of their own
OWN_MEMORY = f"{PREFIX}coterie_memory_megabytes"


def wanted() -> bool:
    """Whether to sample: yes, unless ``MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING`` is false."""
    return os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() not in ("false", "0")


def interval() -> float:
    """Seconds between two samples: ``MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL``, else 10."""
    try:
        return max(0.1, float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", INTERVAL)))
    except ValueError:
        return INTERVAL


class Sampler:
    """Calls ``listener`` with a sample every so often, from a thread, and once more when it is stopped."""

    def __init__(self, listener: Callable[[Sample], None]) -> None:
        self._listener, self._stopped = listener, threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        load = Load()
        self._thread = threading.Thread(target=self._work, args=(load,), name="coterie-load", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No call of the listener comes after this one has returned."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self, load: Load) -> None:
        stopped = False
        while not stopped:
            stopped = self._stopped.wait(interval())
            self._listener(Sample(at=round(time.time() * 1000), load=load.since_last()))


class Load:
    """CPU, memory, disk and network of the machine, GPUs where MLflow can ask them, memory of this run's processes."""

    def __init__(self) -> None:
        with quiet_mlflow():
            from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
            from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
            from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
            from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

            self._monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
            try:
                self._monitors.append(GPUMonitor())
            except (ImportError, RuntimeError):  # no driver, or no package that asks it
                return

    def since_last(self) -> dict[str, float]:
        """The present values by name."""
        found = {OWN_MEMORY: memory_of_tree() / 1e6}
        for monitor in self._monitors:
            monitor.collect_metrics()
            found |= {f"{PREFIX}{name}": float(value) for name, value in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        return found


def memory_of_tree() -> int:
    """Resident bytes of this process and all that it started; one that ends meanwhile counts nothing."""
    import psutil

    me, total = psutil.Process(), 0
    for each in [me, *me.children(recursive=True)]:
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
