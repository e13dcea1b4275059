"""Imports the packages that it is given, one by one, and reports on each: `coterie doctor` runs it as a process of its own.

A package that is broken may raise anything, end the process or never return. None of that reaches the process that asks.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

_TORCH = ("torch", "transformers", "peft")  # the slowest, and the only ones that import torch: a process of their own
LONGEST_IMPORT = 120.0  # seconds for all packages; a cold disk takes half a minute


@dataclass(frozen=True)
class ImportProblem:
    """Why a module cannot be imported."""

    what: str
    """The error, or how the process ended."""
    through: Sequence[str] = ()
    """The top-level modules that the error passed through, beginning with the outermost; none if the process ended."""


def import_problems(modules: Sequence[str], seconds: float = LONGEST_IMPORT) -> dict[str, ImportProblem]:
    """Why modules cannot be imported, by their names. Two other processes import them concurrently.

    After a module that ends its process, a new process imports the rest. A module that is not imported after `seconds` is a
    problem too; those after it are not examined.
    """
    with_torch = [name for name in modules if name in _TORCH]
    others = [name for name in modules if name not in _TORCH]
    with ThreadPoolExecutor() as pool:
        halves = pool.map(lambda half: _problems(half, seconds), (with_torch, others))
    return {name: problem for half in halves for name, problem in half.items()}


def _problems(modules: Sequence[str], seconds: float) -> dict[str, ImportProblem]:
    problems: dict[str, ImportProblem] = {}
    deadline, remaining = time.monotonic() + seconds, list(modules)
    while remaining:
        reports, ending = _import(remaining, deadline - time.monotonic())
        problems |= {name: report for name, report in reports.items() if report.what}
        remaining = [name for name in remaining if name not in reports]
        if remaining:
            problems[remaining.pop(0)] = ImportProblem(ending.format(seconds=seconds))
        if time.monotonic() >= deadline:
            break
    return problems


def _import(modules: Sequence[str], seconds: float) -> tuple[dict[str, ImportProblem], str]:
    """The problem of each module that a new process imported, with an empty text for none, and how the process ended."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_NUM_THREADS"}  # see Threads
    command = [sys.executable, "-P", "-m", "coterie.benchmark.commands.import_check", *modules]
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )
    try:
        output, _ = process.communicate(timeout=seconds)
        ending = f"ends Python, with exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        ending = "is not imported after {seconds:g} s"
    reports: dict[str, ImportProblem] = {}
    for line in output.splitlines():
        with suppress(ValueError, TypeError):  # what packages print themselves
            name, what, through = json.loads(line)
            reports[name] = ImportProblem(what, through)
    return {name: report for name, report in reports.items() if name in modules}, ending


def _report_imports(modules: Sequence[str]) -> None:
    """Import the modules and write a line per module: its name, the error and the modules that it passed through."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # packages that print do not disturb the answers
    warnings.simplefilter("ignore")
    for name in modules:
        what, through = "", list[str]()
        try:
            importlib.import_module(name)
        except BaseException as error:  # SystemExit, and the panics of extensions written in Rust
            what = " ".join(f"{type(error).__name__}: {error}".split())
            frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
            through = [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame in frames]
        print(json.dumps([name, what, through]), file=answers, flush=True)
    os._exit(0)  # without the exit handlers of the packages


if __name__ == "__main__":
    _report_imports(sys.argv[1:])
