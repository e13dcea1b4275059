"""A run's manifest: its settings and cells, on disk next to the records, so that they can be logged to MLflow later.

One file per run, `OUTPUT/runs/<run id>.jsonl`. Its first line, the header, is written whole or not at all. One line
follows for each finished cell, for each sample of the machine's load, and for the end. Lines are only appended, each in
a single write: a kill at any moment leaves at most an incomplete last line, which is ignored.

Runs are listed in the order in which they started. Two runs that start within one tick of the clock are ordered by
`number`, which each run takes under a lock when it writes its header.
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
from coterie.tracking.processes import process_alive, this_process
from coterie.tracking.record import Record, ResultKey, Status, Strict
from coterie.tracking.store import Unreadable
from coterie.tracking.text import explain_invalid

logger = logging.getLogger(__name__)

MANIFEST_SCHEMA: Final = 1
LOCK_SECONDS = 60.0  # the longest wait for another run to write its header, which takes milliseconds
RunId = Annotated[str, Field(pattern=r"^\d{8}-\d{6}-[0-9a-f]{6}$")]
EndStatus = Literal["FINISHED", "FAILED", "KILLED"]


class Header(Strict):
    """The first line: the run itself."""

    schema_version: Literal[1] = MANIFEST_SCHEMA
    """Version of this format."""
    run_id: RunId
    """Start in UTC and six random hexadecimal digits."""
    number: Annotated[int, Field(ge=0)] = 0
    """One more than that of any earlier run in the folder; 0 in files from versions that did not number runs."""
    name: str
    """The suite's name."""
    started: str
    """When the run started, in ISO 8601."""
    process: str
    """The process that writes the file, as `host:pid`."""
    tags: dict[str, str]
    """Tags of the run in MLflow."""
    params: dict[str, JsonValue]
    """Parameters of the run in MLflow."""


class Cell(Strict):
    """A finished cell."""

    cell: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Digest of the cell's identity."""
    status: Status
    """Status of its record."""
    date: str
    """Date of its record."""
    reused: bool
    """Whether the cell was finished before this run."""

    @property
    def result_key(self) -> ResultKey:
        """The key of the record that the cell has, or had at the time."""
        return self.cell, self.status, self.date


class Sample(Strict):
    """The machine's load, averaged since the previous sample."""

    at: int
    """When it was taken, in milliseconds since 1970."""
    load: dict[str, float]
    """Values by MLflow's names."""


class End(Strict):
    """The end of the run. A run without one was killed or is still active."""

    ended: str
    """When the run ended, in ISO 8601."""
    status: EndStatus
    """How it ended."""


_LINE: TypeAdapter[Cell | Sample | End] = TypeAdapter(Cell | Sample | End)


@dataclass(frozen=True)
class Run:
    """A run, read from its file."""

    path: Path
    """The file."""
    header: Header
    """Its first line."""
    cells: list[Cell] = field(default_factory=list)
    """The finished cells in the order in which they finished."""
    samples: list[Sample] = field(default_factory=list)
    """The machine's load over time."""
    end: End | None = None
    """The last line; None for a run that was killed or is still active."""

    @property
    def run_id(self) -> str:
        return self.header.run_id

    @property
    def status(self) -> str:
        """`FINISHED`, `FAILED`, `KILLED`, or `RUNNING` as far as this machine can tell."""
        if self.end is not None:
            return self.end.status
        return "RUNNING" if process_alive(self.header.process) else "KILLED"

    @property
    def started(self) -> datetime:
        return datetime.fromisoformat(self.header.started)

    @property
    def order(self) -> tuple[datetime, int, str]:
        """The sort key of runs. The id decides if the other parts are equal, which happens only across folders."""
        return self.started, self.header.number, self.run_id

    @property
    def ended(self) -> datetime | None:
        """When the run ended; for a killed run, when its last cell finished."""
        if self.end is not None:
            return datetime.fromisoformat(self.end.ended)
        dates = [moment.replace(tzinfo=moment.tzinfo or UTC) for cell in self.cells if (moment := _moment(cell.date))]
        return max([self.started, *dates])


class ManifestWriter:
    """Writes one run's file. Raises `StoreError` if the folder cannot be written."""

    def __init__(self, output_folder: Path, name: str, tags: dict[str, str], params: dict[str, Any]) -> None:
        folder = runs_folder(output_folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _exclusive(folder):
                now = datetime.now(UTC)
                self.path = _unused_path(folder, now)
                self.header = Header(
                    run_id=self.path.stem,
                    number=1 + max(map(_number_in, folder.glob("*.jsonl")), default=0),
                    name=name,
                    started=now.isoformat(timespec="milliseconds"),
                    process=this_process(),
                    tags=tags,
                    params=params,
                )
                write_atomic(self.path, self.header.model_dump_json() + "\n")
        except OSError as error:
            raise _unwritable(folder, error) from error

    def cell(self, record: Record, reused: bool) -> None:
        """Add a finished cell, whose record must already be on disk."""
        self._append(Cell(cell=record.identity_digest, status=record.status, date=record.date, reused=reused))

    def sample(self, sample: Sample) -> None:
        """Add a sample of the machine's load."""
        self._append(sample)

    def end(self, status: EndStatus) -> None:
        """Add the end."""
        self._append(End(ended=datetime.now(UTC).isoformat(timespec="milliseconds"), status=status))

    def _append(self, line: Cell | Sample | End) -> None:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(descriptor, (line.model_dump_json() + "\n").encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unwritable(self.path, error) from error


def runs_folder(output_folder: Path) -> Path:
    """The folder of the manifests."""
    return output_folder / "runs"


def read_runs(output_folder: Path) -> tuple[list[Run], list[Unreadable]]:
    """The runs of an output folder in the order in which they started, and the files that are not valid manifests."""
    found = [read_run(path) for path in sorted(runs_folder(output_folder).glob("*.jsonl"))]
    runs = sorted((f for f in found if isinstance(f, Run)), key=lambda run: run.order)
    return runs, [f for f in found if isinstance(f, Unreadable)]


def read_run(path: Path) -> Run | Unreadable:
    """Read one run's file."""
    try:
        first, *lines = path.read_bytes().split(b"\n")
        header = Header.model_validate_json(first)
        parsed = [_LINE.validate_json(line) for line in lines[:-1]]  # the last one is empty or incomplete
        datetime.fromisoformat(header.started)
    except OSError as error:
        return Unreadable(path, f"cannot be read: {error.strerror}")
    except ValidationError as error:
        return Unreadable(path, explain_invalid(error, "run"))
    except ValueError as error:
        return Unreadable(path, f"not a valid run: {error}")
    if path.name != f"{header.run_id}.jsonl":
        return Unreadable(path, f"copied or renamed: this run belongs at {header.run_id}.jsonl")
    return Run(
        path,
        header,
        [line for line in parsed if isinstance(line, Cell)],
        [line for line in parsed if isinstance(line, Sample)],
        next((line for line in parsed if isinstance(line, End)), None),
    )


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """While active, no other run takes a number. If the file system does not support locks, warn and continue."""
    lock = FileLock(folder / ".lock", timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except (Timeout, NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and not os.access(folder, os.W_OK):
            raise
        logger.warning(
            "%s: expected a folder that supports file locks, got: %s; runs that start in the same millisecond may be "
            "listed in either order",
            folder,
            error,
        )
    try:
        yield
    finally:
        lock.release()


def _unused_path(folder: Path, now: datetime) -> Path:
    """A new file named after the moment, with random digits to tell runs of the same second apart."""
    while (path := folder / f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}.jsonl").exists():
        pass
    return path


def _number_in(path: Path) -> int:
    """The number of the run in this file; 0 if it has none or is unreadable, which `read_run` reports."""
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
        f"{path}: expected to write the run's manifest, got: {error.strerror or error}; fix: make room, change "
        "permissions, or choose another folder with --output-folder"
    )
