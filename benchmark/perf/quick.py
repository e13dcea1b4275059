"""`coterie run` from start to end, and the seconds that it reports per phase."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile

from coterie.benchmark.perf.measuring import timed
from coterie.benchmark.perf.row import Row

_SECONDS = 60  # the target


def rows() -> list[Row]:
    """The suite quick in a new folder, run as a user would."""
    command = [sys.executable, "-m", "coterie.benchmark", "run", "--output-folder"]
    with tempfile.TemporaryDirectory() as folder:
        done, seconds = timed(lambda: subprocess.run([*command, folder], capture_output=True, text=True, check=False))
    if done.returncode:
        raise RuntimeError(f"coterie run ended with {done.returncode}: {done.stderr[-500:]}")
    report = " ".join(done.stdout.rpartition("Seconds: ")[2].partition("MLflow")[0].split())
    phases = {name: float(value) for name, value in re.findall(r"([a-z-]+) (\d+\.\d)", report)}
    return [
        Row(
            work="coterie run (quick)",
            ours=f"{seconds:.0f} s",
            against=", ".join(f"{name} {value:.1f}" for name, value in phases.items()),
            figure=f"{seconds:.0f} s",
            target=f"< {_SECONDS} s",
            met=seconds < _SECONDS,
            values={"seconds": seconds, "phases": phases},
        )
    ]
