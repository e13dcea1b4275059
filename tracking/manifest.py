"""What a ``coterie run`` was: its settings and cells, on disk beside the records, so that MLflow can be told later.

One file a run, ``OUTPUT/runs/<run id>.jsonl``: the first line is the run, written whole or not at all; then one line
for each cell that is finished, for each sample of the machine's load, and for the end. Lines are only ever added, each
in one write: a kill at any moment leaves at most a torn last line, which is ignored.

Runs are in the order in which they started, and that order has no ties: two runs that start within one tick of the clock
are told apart by ``number``, which a run takes, one after the other, when its file is written.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from filelock import FileLock, Timeout
from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from coterie.tracking.errors import StoreError
from coterie.tracking.files import write_atomic
from coterie.tracking.mlflow_store import process, process_alive
from coterie.tracking.record import Record, Status, Strict
from coterie.tracking.store import Unreadable

logger = logging.getLogger(__name__)

MANIFEST_SCHEMA: Final = 1
LOCK_SECONDS = 60.0  # for another run to write its first line, which takes milliseconds
RunId = Annotated[str, Field(pattern=r"^\d{8}-\d{6}-[0-9a-f]{6}$")]
EndStatus = Literal["FINISHED", "FAILED", "KILLED"]


class Header(Strict):
    """The run. ``process`` is machine and number of the process that writes the file. ``number``: 1 more than any other
    run of the folder had when this one started; 0 in files of versions that did not number their runs.
    """

    schema_version: Literal[1] = MANIFEST_SCHEMA
    run_id: RunId
    number: Annotated[int, Field(ge=0)] = 0
    name: str
    started: str
    process: str
    tags: dict[str, str]
    params: dict[str, JsonValue]


class Cell(Strict):
    """A finished cell; ``reused``: it had been finished before this run."""

    cell: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    status: Status
    date: str
    reused: bool


class Sample(Strict):
    """The machine's load, averaged since the sample before; ``at`` in milliseconds since 1970."""

    at: int
    load: dict[str, float]


class End(Strict):
    """The run's end; a run without one was killed or still works."""

    ended: str
    status: EndStatus


_LINE: TypeAdapter[Cell | Sample | End] = TypeAdapter(Cell | Sample | End)


@dataclass(frozen=True)
class Run:
    """A run as its file tells it."""

    path: Path
    header: Header
    cells: list[Cell] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    end: End | None = None

    @property
    def run_id(self) -> str:
        return self.header.run_id

    @property
    def status(self) -> str:
        """``FINISHED``, ``FAILED``, ``KILLED``, or ``RUNNING`` as far as this machine can know."""
        if self.end is not None:
            return self.end.status
        return "RUNNING" if process_alive(self.header.process) else "KILLED"

    @property
    def started(self) -> datetime:
        return datetime.fromisoformat(self.header.started)

    @property
    def order(self) -> tuple[datetime, int, str]:
        """What runs are sorted by. Only runs of different folders can agree in the first two; the id decides then."""
        return self.started, self.header.number, self.run_id

    @property
    def ended(self) -> datetime | None:
        """Its end; that of its last cell where it was killed."""
        if self.end is not None:
            return datetime.fromisoformat(self.end.ended)
        dates = [moment.replace(tzinfo=moment.tzinfo or UTC) for cell in self.cells if (moment := _moment(cell.date))]
        return max([self.started, *dates])


class ManifestWriter:
    """Writes one run's file. Raises ``StoreError`` where the folder cannot be written."""

    def __init__(self, output_folder: Path, name: str, tags: dict[str, str], params: dict[str, Any]) -> None:
        folder = runs_folder(output_folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _one_at_a_time(folder):
                now = datetime.now(UTC)
                self.path = _unused_path(folder, now)
                self.header = Header(
                    run_id=self.path.stem,
                    number=1 + max(map(_number_in, folder.glob("*.jsonl")), default=0),
                    name=name,
                    started=now.isoformat(timespec="milliseconds"),
                    process=process(),
                    tags=tags,
                    params=params,
                )
                write_atomic(self.path, self.header.model_dump_json() + "\n")
        except OSError as error:
            raise _unwritable(folder, error) from error

    def cell(self, record: Record, reused: bool) -> None:
        """Add a finished cell; its record is on disk before."""
        self._add(Cell(cell=record.identity_digest, status=record.status, date=record.date, reused=reused))

    def sample(self, sample: Sample) -> None:
        """Add a sample of the machine's load."""
        self._add(sample)

    def end(self, status: EndStatus) -> None:
        """Add the end."""
        self._add(End(ended=datetime.now(UTC).isoformat(timespec="milliseconds"), status=status))

    def _add(self, line: Cell | Sample | End) -> None:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, (line.model_dump_json() + "\n").encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unwritable(self.path, error) from error


def runs_folder(output_folder: Path) -> Path:
    return output_folder / "runs"


def read_runs(output_folder: Path) -> tuple[list[Run], list[Unreadable]]:
    """All runs of an output folder in the order in which they started, and the files there that are none, with reasons."""
    found = [read_run(path) for path in sorted(runs_folder(output_folder).glob("*.jsonl"))]
    runs = sorted((f for f in found if isinstance(f, Run)), key=lambda run: run.order)
    return runs, [f for f in found if isinstance(f, Unreadable)]


def read_run(path: Path) -> Run | Unreadable:
    """One run's file."""
    try:
        first, *lines = path.read_bytes().split(b"\n")
        header = Header.model_validate_json(first)
        parsed = [_LINE.validate_json(line) for line in lines[:-1]]  # after the last newline: nothing, or a torn line
        datetime.fromisoformat(header.started)
    except OSError as error:
        return Unreadable(path, f"cannot be read: {error.strerror}")
    except ValidationError as error:
        return Unreadable(path, f"not a run's file: {error.errors(include_url=False, include_input=False)[0]['msg']}")
    except ValueError as error:
        return Unreadable(path, f"not a run's file: {error}")
    if path.name != f"{header.run_id}.jsonl":
        return Unreadable(path, f"a copy or a renamed file: this run belongs at {header.run_id}.jsonl")
    return Run(
        path,
        header,
        [line for line in parsed if isinstance(line, Cell)],
        [line for line in parsed if isinstance(line, Sample)],
        next((line for line in parsed if isinstance(line, End)), None),
    )


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """While active, no other run takes a number here. A file system that knows no locks costs a warning, not the run."""
    lock = FileLock(folder / ".lock", timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except (Timeout, NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and not os.access(folder, os.W_OK):
            raise
        logger.warning(
            "%s: expected a folder where files can be locked, got: %s; runs that start in the same millisecond may be "
            "listed in either order",
            folder,
            error,
        )
    try:
        yield
    finally:
        lock.release()


def _unused_path(folder: Path, now: datetime) -> Path:
    """A run's file, named after the moment; the digits at its end tell runs of the same second apart."""
    while (path := folder / f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}.jsonl").exists():
        pass
    return path


def _number_in(path: Path) -> int:
    """The number of the run in this file; 0 where it has none or cannot be read, which ``read_run`` tells."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline())
        return max(0, int(header.get("number", 0)))
    except (OSError, ValueError, TypeError, AttributeError):
        return 0


def _moment(date: str) -> datetime | None:
    try:
        return datetime.fromisoformat(date)
    except ValueError:
        return None


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path}: expected to note the run there, got: {error.strerror or error}; fix: make room, change permissions, or "
        "choose another folder with --output-folder"
    )
