"""The records of one output folder: one JSON file per cell, each written whole or not at all."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import ByteSize, ValidationError

from coterie.tracking.errors import StoreError
from coterie.tracking.files import remove_leftovers, temporary_beside, write_atomic
from coterie.tracking.record import Identity, Record, is_name
from coterie.tracking.text import explain_invalid

logger = logging.getLogger(__name__)

DIGEST_CHARACTERS = 16
CLOCK_STEP = timedelta(minutes=1)  # a clock set back by less does not change the order of results
MINIMUM_FREE_SPACE = ByteSize(32 * 2**20)  # a quick run writes about 5 MB: records, pages and a 1 MB MLflow database


@dataclass(frozen=True)
class Unreadable:
    """A file among the records that does not count as one."""

    path: Path
    """The file."""
    reason: str
    """Why it does not count, in one line."""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Scan:
    """The contents of a store. Every file appears in one of the two lists."""

    records: list[Record]
    """The valid records, by path."""
    unreadable: list[Unreadable]
    """The other files, by path."""


@dataclass(frozen=True)
class RecordStore:
    """Records under `root/records/<task>/<method>/<seed>-<first 16 hex digits of the identity digest>.json`.

    Names contain at most one slash and do not start with a dot (`Record` checks this), so no path leaves the folder.
    """

    root: Path
    """The output folder."""

    @property
    def folder(self) -> Path:
        return self.root / "records"

    def path_for(self, cell: Record | Identity) -> Path:
        """The path of this cell's record, whether it exists or not."""
        identity = cell.identity if isinstance(cell, Record) else cell
        name = f"{identity.seed}-{identity.digest()[:DIGEST_CHARACTERS]}.json"
        return self.folder / identity.task_name / identity.method_name / name

    def write(self, record: Record) -> Path:
        """Store the record, replacing an older one of the same identity.

        Raises `StoreError` and keeps the older record if the folder cannot be written.
        """
        path = self.path_for(record)
        try:
            write_atomic(path, record.to_json())
        except OSError as error:
            raise StoreError(_explain(error, path)) from error
        return path

    def with_later_date(self, record: Record) -> Record:
        """The record, with its date moved past that of the stored result that it will replace.

        MLflow and a run's list of cells distinguish the results of one cell by date. Two dates must differ even if the
        clock did not tick in between or was set back by less than `CLOCK_STEP`.
        """
        stored = self.find(record.identity)
        if stored is None or not timedelta(0) <= stored.when - record.when < CLOCK_STEP:
            return record
        later = stored.when + timedelta(microseconds=1)
        return record.model_copy(update={"date": later.isoformat(timespec="microseconds")})

    def find(self, identity: Identity) -> Record | None:
        """The stored record of this cell, or None. An unreadable file is logged and counts as not stored."""
        path = self.path_for(identity)
        if not path.exists():
            return None
        found = self._read(path)
        if isinstance(found, Unreadable):
            logger.warning("unreadable record, so the cell counts as not run: %s", found)
            return None
        return found

    def all(self) -> list[Record]:
        """Every readable record, by path. Unreadable files are logged; `scan` returns them."""
        scan = self.scan()
        for problem in scan.unreadable:
            logger.warning("unreadable record, left out: %s", problem)
        return scan.records

    def scan(self) -> Scan:
        """Read every file. Invalid ones do not raise: they are returned with the reason."""
        return self._scan(self.folder.rglob("*.json"))

    def scan_cell(self, task_name: str, method_name: str) -> Scan:
        """Read the files of one task and method, by name. An invalid name finds nothing."""
        if not (is_name(task_name) and is_name(method_name)):
            return Scan([], [])
        return self._scan((self.folder / task_name / method_name).glob("*.json"))

    def _scan(self, paths: Iterable[Path]) -> Scan:
        found = [self._read(path) for path in sorted(paths)]
        return Scan([f for f in found if isinstance(f, Record)], [f for f in found if isinstance(f, Unreadable)])

    def check_writable(self) -> None:
        """Create the folder, remove what killed processes left behind, and write a test file, before any work is done.

        Raises `StoreError` if records cannot be written: a file in the way, no permission, a full disk.
        """
        probe = temporary_beside(self.folder / "probe")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = ByteSize(shutil.disk_usage(self.folder).free)
            if free < MINIMUM_FREE_SPACE:
                raise OSError(errno.ENOSPC, f"{free.human_readable(separator=' ')} free")
            write_atomic(probe, " " * 65536)  # larger than an inode, so that an exceeded quota fails
            probe.unlink()
            remove_leftovers(self.folder)
        except OSError as error:
            raise StoreError(_explain(error, self.folder)) from error

    def _read(self, path: Path) -> Record | Unreadable:
        try:
            record = Record.from_json(path.read_bytes())
        except OSError as error:
            return Unreadable(path, f"cannot be read: {error.strerror}")
        except ValidationError as error:
            return Unreadable(path, explain_invalid(error))
        expected = self.path_for(record)
        if path != expected:
            return Unreadable(path, f"copied or renamed: this record belongs at {expected}")
        return record


def _explain(error: OSError, path: Path) -> str:
    """The operating system's error in the form `path: expected X, got Y; fix: Z`."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        blocking = next((p for p in [path, *path.parents] if p.exists() and not p.is_dir()), path)
        return (
            f"{path}: expected a folder to write records to, got a file at {blocking}; fix: move that file or choose "
            "another folder with --output-folder"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{path}: expected at least {MINIMUM_FREE_SPACE.human_readable(separator=' ')} of free disk space, got a full "
            f"disk or quota ({error.strerror}); fix: make room or choose another disk with --output-folder"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{path}: expected a writable folder, got: {error.strerror}; fix: change its permissions or "
            "choose another folder with --output-folder"
        )
    return f"{path}: expected to write a record, got: {error}; fix: choose another folder with --output-folder"
