"""The machine's load during a run, sampled in a thread with MLflow's own monitors and under MLflow's names."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from coterie.tracking.manifest import Sample
from coterie.tracking.processes import tree_memory_bytes
from coterie.tracking.quiet import quiet_mlflow

DEFAULT_INTERVAL = 10.0  # seconds, as in MLflow
PREFIX = "system/"  # MLflow's pages show these metrics on a separate tab
OWN_MEMORY = f"{PREFIX}coterie_memory_megabytes"


def sampling_enabled() -> bool:
    """True unless `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING` is false."""
    return os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() not in ("false", "0")


def sampling_interval() -> float:
    """Seconds between two samples: `MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`, else 10."""
    try:
        return max(0.1, float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", DEFAULT_INTERVAL)))
    except ValueError:
        return DEFAULT_INTERVAL


class Sampler:
    """Calls `listener` with a sample at regular intervals, from a thread, and once more when stopped."""

    def __init__(self, listener: Callable[[Sample], None]) -> None:
        self._listener, self._stopped = listener, threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        load = SystemLoad()
        self._thread = threading.Thread(target=self._work, args=(load,), name="coterie-load", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling. The listener is not called after this returns."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self, load: SystemLoad) -> None:
        stopped = False
        while not stopped:
            stopped = self._stopped.wait(sampling_interval())
            self._listener(Sample(at=round(time.time() * 1000), load=load.since_last()))


class SystemLoad:
    """CPU, disk, network and GPU load of the machine, and the memory of this run's processes."""

    def __init__(self) -> None:
        with quiet_mlflow():
            from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
            from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
            from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
            from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

            self._monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
            try:
                self._monitors.append(GPUMonitor())
            except (ImportError, RuntimeError):  # no driver, or no package to query it
                return

    def since_last(self) -> dict[str, float]:
        """Current values by name."""
        import psutil

        found = {OWN_MEMORY: tree_memory_bytes(psutil.Process()) / 1e6}
        for monitor in self._monitors:
            monitor.collect_metrics()
            found |= {f"{PREFIX}{name}": float(value) for name, value in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        return found
