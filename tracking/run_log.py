"""Log a run to MLflow without ever holding up the run, whatever the store does.

Finished cells are written to disk first. A background thread then logs them, and the run waits for it for a bounded time.
After a failure or timeout the store is not contacted for a while, longer each time. It receives what it missed once it
answers again, at the latest at the end of the run; `coterie sync` logs anything still missing then.
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
from coterie.tracking.errors import MlflowError, MlflowUnavailableError, StoreError
from coterie.tracking.manifest import EndStatus, Header, ManifestWriter, Sample
from coterie.tracking.mlflow_fields import Point, milliseconds
from coterie.tracking.mlflow_log import Tracker
from coterie.tracking.record import Identity, Record
from coterie.tracking.samples import Sampler, sampling_enabled
from coterie.tracking.store import RecordStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long a run waits for its store, in seconds."""

    call: float = 20.0
    """The longest wait after each finished cell."""
    first_pause: float = 30.0
    """The pause before a store that failed is contacted again. It doubles with each failure."""
    longest_pause: float = 600.0
    """The limit of that doubling."""
    end: float = 60.0
    """The longest wait at the end of the run."""


class RunLog:
    """One run, written to its manifest on disk and logged to MLflow.

        with RunLog(tracker, store, "quick", tags={...}, params={...}) as log:
            for record, reused in cells:
                log.cell(record, reused)

    Entering raises `MlflowError` if the store will not work later either (a wrong address, a damaged file). After that,
    MLflow's failures no longer raise: `problems` lists them, and `missing` counts the cells that are not in MLflow.
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
        self._background = _BackgroundCalls()
        self._open = False
        self._pause, self._retry_at = self._patience.first_pause, 0.0
        self._sampler = Sampler(self._sample)
        self._failed = False

    @property
    def missing(self) -> int:
        """Number of finished cells that are not in MLflow."""
        return len(self._waiting)

    @property
    def folder(self) -> Path:
        """The output folder."""
        return self._store.root

    @property
    def header(self) -> Header:
        """The run as its manifest describes it."""
        return self._manifest.header

    @property
    def run_id(self) -> str:
        """The run's id, as in `coterie runs`."""
        return self.header.run_id

    def __enter__(self) -> Self:
        self._manifest = ManifestWriter(self._store.root, self._name, self._tags, self._params)
        header = self.header
        start_parent(self.tracker, header)
        try:
            self._call_store(self._ensure_open, self._patience.call, entering=True)
        except BaseException:
            self._manifest.path.unlink(missing_ok=True)
            raise
        if sampling_enabled():
            self._sampler.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._sampler.stop()
        status: EndStatus = "FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED"
        self._manifest.end(status)
        seconds = self._patience.end if kind is None else self._patience.call / 4  # after Ctrl-C somebody is waiting
        self._background.settle(seconds)
        self._retry_at = 0.0
        deadline = time.monotonic() + seconds / 2
        self._call_store(lambda: self._finish(status, deadline), seconds)

    def cell(self, record: Record, reused: bool) -> None:
        """Log a cell that has finished, in this run or before (`reused`). Its record must be on disk."""
        self._manifest.cell(record, reused)
        self._waiting.append((record.identity, reused))
        self._newest = record
        deadline = time.monotonic() + self._patience.call / 2
        self._call_store(lambda: self._catch_up(deadline), self._patience.call)

    def _call_store(self, action: Callable[[], None], seconds: float, entering: bool = False) -> None:
        """Start the action in the background unless the store is paused or busy, and wait at most `seconds` for it."""
        if time.monotonic() < self._retry_at or self._background.busy:
            return
        try:
            self._background.call(action, seconds)
        except TimeoutError:
            self._back_off(f"{self.tracker.display_uri}: no answer within {seconds:.3g} s")
        except MlflowError as error:
            if entering and not (isinstance(error, MlflowUnavailableError) and self.tracker.is_remote):
                raise
            self._back_off(str(error))
        else:
            self._pause, self._failed = self._patience.first_pause, False

    def _back_off(self, problem: str) -> None:
        if not self._failed:
            self.problems.append(problem)
            logger.warning("the run goes on and its records are kept; MLflow: %s", problem)
        self._failed = True
        self._retry_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, self._patience.longest_pause)

    # The next four methods run in the background thread.

    def _ensure_open(self) -> None:
        if not self._open:
            self.tracker.open()
            self._open = True
        elif self._failed:
            with self.tracker.guarded():
                self.tracker.close_abandoned(own=True)

    def _catch_up(self, deadline: float) -> None:
        self._ensure_open()
        while self._waiting and time.monotonic() < deadline:
            identity, reused = self._waiting[0]
            newest = self._newest
            record = newest if newest is not None and newest.identity == identity else self._store.find(identity)
            if record is not None:  # otherwise somebody has removed it
                self._log(record, is_new=not reused and newest is record)
            self._waiting.popleft()
        self._n_logged_samples = self.tracker.log_samples(list(self._samples), self._n_logged_samples)

    def _log(self, record: Record, is_new: bool) -> None:
        try:
            self.tracker.log(record, is_new=is_new)
        except MlflowUnavailableError:
            raise
        except MlflowError as error:  # MLflow refuses this record, but may accept the next one
            self.problems.append(f"{self._store.path_for(record)}: {error}")

    def _finish(self, status: EndStatus, deadline: float) -> None:
        self._catch_up(deadline)
        self.tracker.end(status)

    def _sample(self, sample: Sample) -> None:
        """Keep a sample. Called from the sampler's thread."""
        try:
            self._manifest.sample(sample)
        except StoreError as error:
            logger.warning("lost a sample of the machine's load: %s", error)
            return
        step = len(self._samples)
        self._samples.append(sample_points(sample, step))


def sample_points(sample: Sample, step: int) -> list[Point]:
    """A sample as metrics."""
    return [Point(name, value, sample.at, step) for name, value in sample.load.items() if fields.usable_key(name)]


def start_parent(tracker: Tracker, header: Header) -> None:
    """Nest the following cells in the run that this header describes.

    Two tags are added: the run's id, to find it again, and its number, to sort by.
    """
    tags = {**header.tags, fields.RUN_TAG: header.run_id, fields.NUMBER_TAG: str(header.number)}
    start = milliseconds(datetime.fromisoformat(header.started))
    tracker.start_parent(header.name, tags, header.params, start)


class _BackgroundCalls:
    """Runs calls one by one in a daemon thread, so that one that hangs delays neither the run nor the program's exit."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[None], Callable[[], None]]] = queue.SimpleQueue()
        self._current: Future[None] | None = None
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a call that timed out is still running."""
        return self._current is not None and not self._current.done()

    def settle(self, seconds: float) -> None:
        """Wait at most `seconds` for a call that timed out."""
        if self._current is not None:
            wait([self._current], timeout=seconds)

    def call(self, action: Callable[[], None], seconds: float) -> None:
        """Run the action. Raises what it raises, or `TimeoutError` after `seconds`, while the action continues."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="coterie-mlflow", daemon=True)
            self._thread.start()
        self._current = Future()
        self._calls.put((self._current, action))
        self._current.result(timeout=seconds)

    def _work(self) -> None:
        while True:
            future, action = self._calls.get()
            try:
                action()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(None)
