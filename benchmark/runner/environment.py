"""The machine and software that a cell runs on: versions, commit, memory and speed."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

from coterie.benchmark.errors import UsageError
from coterie.tasks.config.text import expected_one_of
from coterie.tracking.record import Environment

REPORTED_PACKAGES = ("torch", "transformers", "peft", "numpy", "scipy", "scikit-learn", "bm25s", "numba", "mlflow")
_PROC_RESET, _PROC_STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@cache
def environment(device: str) -> Environment:
    """The environment of this process."""
    import torch

    return Environment(
        coterie_version=version("coterie"),
        git_hash=git_hash(),
        python=platform.python_version(),
        packages={name: version(name) for name in REPORTED_PACKAGES},
        platform=platform.platform(),
        device=device,
        threads=torch.get_num_threads(),
    )


def reset_peak_memory() -> None:
    """Start a new measurement of the peak, if the system supports it (Linux)."""
    if _PROC_RESET.exists():
        _PROC_RESET.write_text("5")


def peak_memory_bytes() -> int:
    """Largest resident size of this process since the reset (Linux) or since its start (other systems)."""
    if _PROC_STATUS.exists():
        peak = next(line for line in _PROC_STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def git_hash() -> str | None:
    """The commit of coterie's checkout, with `+changes` if files differ from it; None for an installed wheel."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


def flops_per_second() -> float:
    """Floating-point operations per second of a float32 matrix product on this processor: the best of three runs.

    A multiply-add counts as two operations.
    """
    import torch

    left = torch.randn(1024, 1024)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        left @ left
        seconds.append(time.perf_counter() - started)
    return 2 * 1024**3 / min(seconds)


def available_memory(device: str) -> int:
    """Bytes of free memory on this machine or, for `cuda`, of total memory on all GPUs."""
    import psutil
    import torch

    if device == "cuda":
        return sum(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
    return int(psutil.virtual_memory().available)


def resolve_device(wanted: str) -> str:
    """The device to use: `auto` is cuda if available, else mps, else cpu. Raises `UsageError` for an unavailable one."""
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if wanted not in available:
        raise UsageError(f"--device: {expected_one_of(['auto', *available], wanted)}")
    if not available[wanted]:
        raise UsageError(f"--device {wanted}: not available on this machine; fix: --device auto")
    return wanted
