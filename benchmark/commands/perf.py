"""`coterie perf`: the performance table. Each part runs in its own process, so that no part affects another."""

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

from coterie.benchmark.commands.tables import wide_console
from coterie.benchmark.errors import ExitCode, UsageError, exit_on_user_error, writing
from coterie.benchmark.perf.parts import list_parts
from coterie.tasks.config.text import expected_one_of


def perf_command(parts: tuple[str, ...], path: Path | None) -> ExitCode:
    """Measure the parts, print the table, and write it as JSON if `path` is given."""
    known = list_parts()
    with exit_on_user_error():
        for part in parts:
            if part not in known:
                raise UsageError(f"PART: {expected_one_of(known, part)}")
    console, started, failed = Console(), time.perf_counter(), []
    table = Table("Work", "coterie", "Against", "Ratio or figure", "Target", "Met", box=None, pad_edge=False)
    rows: list[dict[str, Any]] = []
    for part in parts or tuple(known):
        with console.status(f"{part}: {known[part]}"):
            found, problem = measured(part)
        if problem:
            failed.append(part)
            console.print(f"[red]{part}[/]: {problem}", highlight=False)
        for row in found:
            met = {True: "yes", False: "[red]no[/]", None: "-"}[row["met"]]
            table.add_row(row["work"], row["ours"], row["against"], row["figure"], row["target"], met)
        rows += [{"part": part, **row} for row in found]
    wide_console(240).print(table)
    seconds = time.perf_counter() - started
    console.print(
        f"{seconds:.0f} s, {os.cpu_count()} cores, {platform.processor() or platform.machine()}", highlight=False
    )
    if path is not None:
        with exit_on_user_error(), writing(path, "another --json"):
            path.write_text(json.dumps({"seconds": seconds, "platform": platform.platform(), "rows": rows}, indent=1))
        console.print(f"Written: {path}", highlight=False)
    return ExitCode.FAILED if failed else ExitCode.OK


def measured(part: str) -> tuple[list[dict[str, Any]], str]:
    """The rows of one part; if it fails, no rows and the reason."""
    command = [sys.executable, "-m", "coterie.benchmark.perf", part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return [], (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    rows: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return rows, ""
