"""What a run shows while it works: one live line in a terminal, plain lines elsewhere, nothing with ``--quiet``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from coterie.tracking.record import Record

_MARKS = {
    "ok": "[green]ok[/]",
    "skipped": "[yellow]skipped[/]",
    "failed": "[red]failed[/]",
    "timeout": "[red]timeout[/]",
}


class RunProgress:
    """A :class:`coterie.benchmark.runner.Listener` for people. ``reused`` counts the cells that were finished before."""

    def __init__(self, n_cells: int, console: Console, quiet: bool = False) -> None:
        self.reused = 0
        self.seconds: dict[str, float] = {}  # by phase
        self._console, self._quiet, self._live = console, quiet, console.is_terminal and not quiet
        self._ablations, self._cell_started, self._done, self._n_cells = 0, time.monotonic(), 0, n_cells
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("cells"),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            disable=not self._live,
            transient=True,
        )
        self._row = self._progress.add_task("starting", total=n_cells)
        self._text = "starting"

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, text: str) -> None:
        """A new step has begun."""
        self._text, self._ablations = text, 0
        self._progress.update(self._row, description=text)

    def evaluated(self, ablations: int) -> None:
        """So many more ablations of a judging game are done."""
        self._ablations += ablations
        self._progress.update(self._row, description=f"{self._text} ({self._ablations} ablations)")

    def spent(self, phase: str, seconds: float) -> None:
        """A phase took so many seconds more."""
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Count what is done in this context."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent(phase, time.perf_counter() - started)

    def cell(self, record: Record, reused: bool) -> None:
        """A cell is finished, or was before."""
        self.reused += reused
        self._done += 1
        self._progress.advance(self._row)
        seconds, self._cell_started = time.monotonic() - self._cell_started, time.monotonic()
        if self._quiet:
            return
        when = "reused" if reused else f"{seconds:.1f} s"
        reason = f": {record.reason}" if record.reason else ""
        self._console.print(
            f"  [{self._done}/{self._n_cells}] {escape(record.task_name)}  {escape(record.method.selector)}  "
            f"seed {record.seed}  {_MARKS[record.status]}  {when}{escape(reason)}",
            highlight=False,
        )
