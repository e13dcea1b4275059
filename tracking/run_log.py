"""A run's way to MLflow: never in the way of the run, whatever the store does.

What is finished is on disk first. Then it is logged, by a thread of its own for which the run waits a bounded time. A
store that fails or does not answer is left alone for a while, longer each time, and gets what it missed when it
answers again, at the latest at the end of the run; what is missing then, ``coterie sync`` logs.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from coterie.tracking import mlflow_fields as fields
from coterie.tracking.errors import MlflowAwayError, MlflowError, StoreError
from coterie.tracking.manifest import EndStatus, Header, ManifestWriter, Sample
from coterie.tracking.mlflow_fields import Point
from coterie.tracking.mlflow_log import Tracker
from coterie.tracking.record import Identity, Record
from coterie.tracking.samples import Sampler, wanted
from coterie.tracking.store import RecordStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long a run waits for its store, in seconds."""

    call: float = 20.0  # with each finished cell, at most
    first_pause: float = 30.0  # before a store that failed is asked again; doubles with each failure
    longest_pause: float = 600.0
    end: float = 60.0  # once, when the run is over


class RunLog:
    """One run, noted on disk and logged to MLflow.

        with RunLog(tracker, store, "quick", tags={...}, params={...}) as log:
            for record, reused in cells:
                log.cell(record, reused)

    Entering raises ``MlflowError`` where the store will not work later either (a wrong address, a damaged file);
    afterwards nothing that concerns MLflow raises. ``problems`` says what went wrong, ``missing`` how many cells are
    not in MLflow.
    """

    def __init__(
        self,
        tracker: Tracker,
        store: RecordStore,
        name: str,
        tags: dict[str, str],
        params: dict[str, Any],
        patience: Patience | None = None,
    ) -> None:
        self.tracker, self.problems = tracker, list[str]()
        self._store, self._patience = store, patience or Patience()
        self._name, self._tags, self._params = name, tags, params
        self._waiting: deque[tuple[Identity, bool]] = deque()
        self._newest: Record | None = None
        self._samples: list[list[Point]] = []
        self._n_logged_samples = 0
        self._lane = _Lane()
        self._open = False
        self._pause, self._away_until = self._patience.first_pause, 0.0
        self._sampler = Sampler(self._sample)
        self._failed = False

    @property
    def missing(self) -> int:
        """How many finished cells are not in MLflow."""
        return len(self._waiting)

    @property
    def folder(self) -> Path:
        """The output folder."""
        return self._store.root

    @property
    def header(self) -> Header:
        """The run as it is noted on disk."""
        return self._manifest.header

    @property
    def run_id(self) -> str:
        """The run's id, as in ``coterie runs``."""
        return self.header.run_id

    def __enter__(self) -> Self:
        self._manifest = ManifestWriter(self._store.root, self._name, self._tags, self._params)
        header = self.header
        self.tracker.start_parent(header.name, parent_tags(header), header.params, milliseconds(header.started))
        try:
            self._ask(self._opened, self._patience.call, entering=True)
        except BaseException:
            self._manifest.path.unlink(missing_ok=True)
            raise
        if wanted():
            self._sampler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._sampler.stop()
        status: EndStatus = "FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED"
        self._manifest.end(status)
        seconds = self._patience.end if kind is None else self._patience.call / 4  # Ctrl-C: people wait
        self._lane.settle(seconds)
        self._away_until = 0.0
        deadline = time.monotonic() + seconds / 2
        self._ask(lambda: self._finish(status, deadline), seconds)

    def cell(self, record: Record, reused: bool) -> None:
        """A cell is finished, or was before; its record is on disk."""
        self._manifest.cell(record, reused)
        self._waiting.append((record.identity, reused))
        self._newest = record
        deadline = time.monotonic() + self._patience.call / 2
        self._ask(lambda: self._catch_up(deadline), self._patience.call)

    def _ask(self, what: Callable[[], None], seconds: float, entering: bool = False) -> None:
        """Do it in the lane, if the store is to be asked now, and wait so long for it to be done."""
        if time.monotonic() < self._away_until or self._lane.busy:
            return
        try:
            self._lane.call(what, seconds)
        except TimeoutError:
            self._leave_alone(f"{self.tracker.display_uri}: no answer within {seconds:.3g} s")
        except MlflowError as error:
            if entering and not (isinstance(error, MlflowAwayError) and self.tracker.may_come_back):
                raise
            self._leave_alone(str(error))
        else:
            self._pause, self._failed = self._patience.first_pause, False

    def _leave_alone(self, problem: str) -> None:
        if not self._failed:
            self.problems.append(problem)
            logger.warning("the run goes on, records are kept; MLflow: %s", problem)
        self._failed = True
        self._away_until = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, self._patience.longest_pause)

    # What follows runs in the lane.

    def _opened(self) -> None:
        if not self._open:
            self.tracker.open()
            self._open = True
        elif self._failed:
            with self.tracker.speaking():
                self.tracker.close_abandoned(own=True)

    def _catch_up(self, deadline: float) -> None:
        self._opened()
        while self._waiting and time.monotonic() < deadline:
            identity, reused = self._waiting[0]
            newest = self._newest
            record = newest if newest is not None and newest.identity == identity else self._store.find(identity)
            if record is not None:  # else somebody removed it: there is nothing to log
                self._log(record, again=not reused and newest is record)
            self._waiting.popleft()
        self._n_logged_samples = self.tracker.log_samples(list(self._samples), self._n_logged_samples)

    def _log(self, record: Record, again: bool) -> None:
        try:
            self.tracker.log(record, again=again)
        except MlflowAwayError:
            raise
        except MlflowError as error:  # this record is refused, the next may be taken
            self.problems.append(f"{self._store.path_for(record)}: {error}")

    def _finish(self, status: EndStatus, deadline: float) -> None:
        self._catch_up(deadline)
        self.tracker.end(status)

    def _sample(self, sample: Sample) -> None:
        """From the sampler's thread."""
        try:
            self._manifest.sample(sample)
        except StoreError as error:
            logger.warning("a sample of the machine's load is lost: %s", error)
            return
        step = len(self._samples)
        self._samples.append(sample_points(sample, step))


def sample_points(sample: Sample, step: int) -> list[Point]:
    """A sample as metrics."""
    return [Point(name, value, sample.at, step) for name, value in sample.load.items() if fields.usable_key(name)]


def parent_tags(header: Header) -> dict[str, str]:
    """The tags of a run in MLflow: its own, its id, by which it is found again, and its number, by which it is sorted."""
    return {**header.tags, fields.RUN_TAG: header.run_id, fields.NUMBER_TAG: str(header.number)}


def milliseconds(date: str) -> int:
    """An ISO 8601 moment in milliseconds since 1970."""
    return round(datetime.fromisoformat(date).timestamp() * 1000)


class _Lane:
    """Calls one after the other in a daemon thread: a call that hangs holds up neither the run nor the program's end."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[None], Callable[[], None]]] = queue.SimpleQueue()
        self._current: Future[None] | None = None
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a call that was not waited for is still under way."""
        return self._current is not None and not self._current.done()

    def settle(self, seconds: float) -> None:
        """Wait so long for a call that is still under way."""
        if self._current is not None:
            wait([self._current], timeout=seconds)

    def call(self, what: Callable[[], None], seconds: float) -> None:
        """Raises what ``what`` raises, or ``TimeoutError`` if it takes longer; it then goes on by itself."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="coterie-mlflow", daemon=True)
            self._thread.start()
        self._current = Future()
        self._calls.put((self._current, what))
        self._current.result(timeout=seconds)

    def _work(self) -> None:
        while True:
            future, what = self._calls.get()
            try:
                what()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)
