"""``coterie perf``: the performance table, each part in a process of its own, so that threads and memory are its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.tasks.config.text import did_you_mean

PARTS = {
    "quick": "coterie run, from start to end",
    "ablation": "the engine against a full forward pass a coalition",
    "gemm": "the engine against the machine's GEMM rate, at a 7B layer's shape",
    "scale": "growth with neurons, pairs, layers and coalitions, up to a 70B layer's shape",
    "shapley": "Shapley values against msapy, their error, the estimators' own time",
    "interactions": "interactions of all pairs against KernelSHAP-IQ",
    "hedonic": "PAC-Top-Cover and all-pairs PAS at n = 14,336",
    "ndcg": "nDCG of many rankings against ir-measures",
}
FAILED = 1


def perf_command(parts: tuple[str, ...], path: Path | None) -> int:
    """Measure, print, write. Returns 1 where a part could not be measured."""
    with exit_on_user_error():
        for part in parts:
            if part not in PARTS:
                raise UsageError(f"unknown part {part!r}{did_you_mean(part, PARTS)}")
    console, started, failed = Console(), time.perf_counter(), []
    wide = console if console.is_terminal else Console(width=240)  # a file has room for a row on one line
    table = Table("Work", "coterie", "Against", "Ratio or figure", "Target", "Met", box=None, pad_edge=False)
    rows: list[dict[str, Any]] = []
    for part in parts or tuple(PARTS):
        with console.status(f"{part}: {PARTS[part]}"):
            found, problem = measured(part)
        if problem:
            failed.append(part)
            console.print(f"[red]{part}[/]: {problem}", highlight=False)
        for row in found:
            met = {True: "yes", False: "[red]no[/]", None: "-"}[row["met"]]
            table.add_row(row["work"], row["ours"], row["against"], row["figure"], row["target"], met)
        rows += [{"part": part, **row} for row in found]
    wide.print(table)
    seconds = time.perf_counter() - started
    console.print(
        f"{seconds:.0f} s, {os.cpu_count()} cores, {platform.processor() or platform.machine()}", highlight=False
    )
    if path is not None:
        path.write_text(json.dumps({"seconds": seconds, "platform": platform.platform(), "rows": rows}, indent=1))
        console.print(f"Written: {path}", highlight=False)
    return FAILED if failed else 0


def measured(part: str) -> tuple[list[dict[str, Any]], str]:
    """The rows of one part, or none and what went wrong."""
    command = [sys.executable, "-m", "coterie.benchmark.perf", part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return [], (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    rows: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return rows, ""
