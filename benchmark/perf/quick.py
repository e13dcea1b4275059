"""``coterie run`` from start to end, with the seconds that it reports of each phase."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time

from coterie.benchmark.perf.row import Row


def rows() -> list[Row]:
    """The suite quick in a new folder, as a user starts it."""
    command = [sys.executable, "-c", "from coterie.benchmark.cli.main import main; main()", "run", "--output-folder"]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        done = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"coterie run ended with {done.returncode}: {done.stderr[-500:]}")
    phases = re.findall(
        r"([a-z-]+) (\d+\.\d)", " ".join(done.stdout.split("Seconds: start-up", 1)[1].split("MLflow")[0].split())
    )
    told = re.search(r"^\s*(\d+\.\d)", done.stdout.split("Seconds: start-up", 1)[1])
    values = {"start-up": float(told[1]) if told else float("nan"), **{name: float(value) for name, value in phases}}
    return [
        Row(
            work="coterie run (quick)",
            ours=f"{seconds:.0f} s",
            against=", ".join(f"{name} {value:.1f}" for name, value in values.items()),
            figure=f"{seconds:.0f} s",
            target="< 60 s",
            met=seconds < 60,
            values={"seconds": seconds, "phases": values},
        )
    ]
