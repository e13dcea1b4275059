"""The progress of a run: a live view in a terminal, plain lines elsewhere, nothing with `--quiet`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from coterie.benchmark.quantities import format_seconds
from coterie.benchmark.runner.messages import CellRequest, Listener, NotRun
from coterie.tracking.record import BROKEN, Record

_MARKS = {
    "ok": "[green]ok[/]",
    "skipped": "[yellow]skipped[/]",
    "failed": "[red]failed[/]",
    "timeout": "[red]timeout[/]",
}


class RunProgress(Listener):
    """Shows the progress of a run. `reused` counts the cells that were finished before; `seconds` has the total of each phase."""

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.reused = 0
        self.seconds: dict[str, float] = {}
        self._console, self._quiet = console, quiet
        self._lock = threading.RLock()
        self._done, self._failed, self._n_cells, self._n_missing, self._n_run = 0, 0, 0, 0, 0
        self._since = time.monotonic()
        self._running: dict[str, tuple[TaskID, float]] = {}  # by cell: its row and its start
        self._total = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("cells"),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
        )
        self._each = Progress(
            TextColumn("   "), TimeElapsedColumn(), TextColumn("{task.description}", markup=False), console=console
        )
        self._row = self._total.add_task("starting", total=None)
        self._live: Live | None = None
        if console.is_terminal and not quiet:
            self._live = Live(Group(self._total, self._each), console=console, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def step(self, text: str) -> None:
        """The run as a whole starts a new step."""
        self._total.update(self._row, description=text)

    def reading(self, task: str) -> None:
        """The texts of a task are about to be read: instant from the cache, minutes without."""
        self.step(f"reading texts: {task}")
        if self._live is None and not self._quiet:
            self._console.print(f"reading texts: {escape(task)}", highlight=False, soft_wrap=True)

    def planned(self, cells: Mapping[str, int]) -> None:
        """The numbers of finished and missing cells are known."""
        self._n_missing, self._n_cells = cells["missing"], sum(cells.values())
        self._total.update(self._row, total=self._n_cells)

    def started(self, request: CellRequest) -> None:
        """A worker has received a cell."""
        with self._lock:
            row = self._each.add_task(f"{request.label}: starting", total=None)
            self._running[request.identity.digest()] = row, time.monotonic()
            if self._n_run == 0 and len(self._running) == 1:
                self._since = time.monotonic()
            self._sum_up()

    def progress(self, request: CellRequest, step: str, count: int) -> None:
        """A running cell has made `count` evaluations in its current step."""
        with self._lock:
            running = self._running.get(request.identity.digest())
        if running is not None:
            counted = f" ({count} evaluations)" if count else ""
            self._each.update(running[0], description=f"{request.label}: {step}{counted}")

    def spent(self, phase: str, seconds: float) -> None:
        """A phase took this many more seconds."""
        with self._lock:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time that the context takes to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spent(phase, time.perf_counter() - started)

    def finished(self, record: Record, reused: bool) -> None:
        """A cell has finished, in this run or before."""
        with self._lock:
            self.reused += reused
            self._failed += record.status in BROKEN
            took = self._over(record.identity_digest, reused)
            when = "reused" if reused else f"{took:.1f} s"
            what = f"{escape(record.task_name)}  {escape(record.method.selector)}"
            reason = f": {record.reason}" if record.reason else ""
            which = f"budget {record.identity.budget}  seed {record.seed}"
            self._say(f"{what}  {which}  {_MARKS[record.status]}  {when}{escape(reason)}")

    def not_run(self, cell: NotRun) -> None:
        """A cell could not be run."""
        with self._lock:
            self._failed += 1
            self._over(cell.identity.digest(), reused=False)
            self._say(f"{escape(cell.label)}  [red]not run[/]: {escape(cell.reason)}")

    def _over(self, digest: str, reused: bool) -> float:
        """Count a cell as done and return the seconds since its start."""
        row, began = self._running.pop(digest, (None, time.monotonic()))
        if row is not None:
            self._each.remove_task(row)
        self._done += 1
        self._n_run += not reused
        self._total.advance(self._row)
        self._sum_up()
        return time.monotonic() - began

    def _sum_up(self) -> None:
        """Show how many cells are running and how many failed, and the time left at the pace of this run."""
        parts = [f"{len(self._running)} running"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        if self._n_run:
            pace = (time.monotonic() - self._since) / self._n_run
            parts.append(f"about {format_seconds(pace * max(0, self._n_missing - self._n_run))} left")
        self._total.update(self._row, description=", ".join(parts))

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(f"  [{self._done}/{self._n_cells}] {text}", highlight=False)
