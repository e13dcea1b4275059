"""The records of one output folder: one JSON file a cell, each written whole or not at all."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError

from coterie.tracking.errors import StoreError
from coterie.tracking.files import remove_leftovers, temporary_beside, write_atomic
from coterie.tracking.record import Identity, Record, is_name

logger = logging.getLogger(__name__)

DIGEST_CHARACTERS = 16
CLOCK_STEP = timedelta(minutes=1)  # by which a clock may be set back without results changing places
MINIMUM_FREE_BYTES = 32 * 2**20  # a quick run leaves some 5 MB: records, pages and a 1 MB MLflow database


@dataclass(frozen=True)
class Unreadable:
    """A file among the records that is not a record that counts."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Scan:
    """What lies in the store: every file is either in ``records`` or in ``unreadable``."""

    records: list[Record]
    unreadable: list[Unreadable]


@dataclass(frozen=True)
class RecordStore:
    """Records under ``root/records/<task>/<method>/<seed>-<first 16 hex of the identity digest>.json``.

    ``root`` is the output folder. Names hold a slash at most once and no dots at the front (``Record`` checks that),
    so no name leads out of the folder.
    """

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "records"

    def path_for(self, cell: Record | Identity) -> Path:
        """Where this cell's record lies, whether it is there or not."""
        identity = cell.identity if isinstance(cell, Record) else cell
        name = f"{identity.seed}-{identity.digest()[:DIGEST_CHARACTERS]}.json"
        return self.folder / identity.task_name / identity.method_name / name

    def write(self, record: Record) -> Path:
        """Store the record in place of an older one of the same identity. Raises ``StoreError``; the old one stays."""
        path = self.path_for(record)
        try:
            write_atomic(path, record.to_json())
        except OSError as error:
            raise StoreError(_explain(error, path)) from error
        return path

    def dated(self, record: Record) -> Record:
        """The record, dated after the stored result of the same cell, which it is about to replace.

        Results of a cell are known by their dates, in MLflow and in a run's list of cells: two of them must not agree
        because both were made within one tick of the clock, or because it was set back a little in between.
        """
        stored = self.find(record.identity)
        if stored is None or not timedelta(0) <= stored.when - record.when < CLOCK_STEP:
            return record
        later = stored.when + timedelta(microseconds=1)
        return record.model_copy(update={"date": later.isoformat(timespec="microseconds")})

    def find(self, identity: Identity) -> Record | None:
        """The stored record of this cell. A file there that cannot be read is logged and counts as not stored."""
        path = self.path_for(identity)
        if not path.exists():
            return None
        found = self._read(path)
        if isinstance(found, Unreadable):
            logger.warning("unreadable record, the cell counts as not run: %s", found)
            return None
        return found

    def all(self) -> list[Record]:
        """Every readable record, by path. Unreadable files are logged; ``scan`` returns them."""
        scan = self.scan()
        for problem in scan.unreadable:
            logger.warning("unreadable record, left out: %s", problem)
        return scan.records

    def scan(self) -> Scan:
        """Read everything; nothing is dropped without a reason and nothing raises."""
        return self._scan(self.folder.rglob("*.json"))

    def scan_cell(self, task_name: str, method_name: str) -> Scan:
        """The same for one task and method (by name), without reading the others. A name that is none finds nothing."""
        if not (is_name(task_name) and is_name(method_name)):
            return Scan([], [])
        return self._scan((self.folder / task_name / method_name).glob("*.json"))

    def _scan(self, paths: Iterable[Path]) -> Scan:
        found = [self._read(path) for path in sorted(paths)]
        return Scan([f for f in found if isinstance(f, Record)], [f for f in found if isinstance(f, Unreadable)])

    def check_writable(self) -> None:
        """Create the folder, remove what killed processes left behind, and try to write, before any work is done.

        Raises ``StoreError`` where records could not be written: a file in the way, no permission, a full disk.
        """
        probe = temporary_beside(self.folder / "probe")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
            if free < MINIMUM_FREE_BYTES:
                raise OSError(errno.ENOSPC, f"{free / 2**20:.0f} MB free")
            write_atomic(probe, " " * 65536)  # more than what fits into an inode, so that a quota shows
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
            return Unreadable(path, f"a copy or a renamed file: this record belongs at {expected}")
        return record


def explain_invalid(error: ValidationError) -> str:
    """The first thing that is wrong with a record, in one line."""
    details = error.errors(include_url=False, include_input=False)
    first = details[0]
    where = ascii(".".join(str(part) for part in first["loc"]))[1:-1][:200]  # a key of somebody else goes to a terminal
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"not a valid record: {where + ': ' if where else ''}{first['msg']}{more}"


def _explain(error: OSError, path: Path) -> str:
    """The operating system's error as expected, got, fix."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        blocking = next((p for p in [path, *path.parents] if p.exists() and not p.is_dir()), path)
        return (
            f"{path}: expected a folder to write records to, got a file at {blocking}; fix: move that file or choose "
            "another folder with --output-folder"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{path}: expected at least {MINIMUM_FREE_BYTES // 2**20} MB of free disk space, got a full disk or quota "
            f"({error.strerror}); fix: make room or choose another disk with --output-folder"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{path}: expected a folder that can be written, got: {error.strerror}; fix: change its permissions or "
            "choose another folder with --output-folder"
        )
    return f"{path}: expected to write a record, got: {error}; fix: choose another folder with --output-folder"
