"""The parts of the performance table: the modules of this folder that define `rows`, found by scanning.

Their text is scanned, because importing a part takes seconds and `coterie perf --help` lists them all.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from coterie.benchmark import perf
from coterie.benchmark.perf.row import Row


@cache
def list_parts() -> dict[str, str]:
    """The parts by name, each with what it measures: the first line of its docstring."""
    texts = {path.stem: path.read_text("utf8") for path in sorted(Path(__file__).parent.glob("*.py"))}
    return {name: _first_line(text) for name, text in texts.items() if "\ndef rows(" in text}


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip('".')


def measure(part: str) -> list[Row]:
    """Measure the rows of a part in this process."""
    rows: list[Row] = import_module(f"{perf.__name__}.{part}").rows()
    return rows
