"""Locks on cells, one locked file per running cell, so that two runs on one output folder do not run it twice."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from coterie.tracking.record import Identity
from coterie.tracking.store import DIGEST_CHARACTERS

logger = logging.getLogger(__name__)


class CellLocks:
    """Locks on cells by identity, in `root/.locks`. The system releases the locks of a process when it ends.

    Locks only avoid work: without one, a cell would run twice and the second record would replace the first. So a file
    system without locks causes a warning, not a failure.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / ".locks"
        self._held: dict[str, FileLock] = {}
        self._guard = threading.Lock()
        self._unsupported = False

    def acquire(self, identity: Identity) -> bool:
        """Lock the cell without waiting. Returns whether this run now holds it; if not, another run does."""
        path = self._path(identity)
        with self._guard:
            if self._unsupported:
                return True
            lock = FileLock(path, timeout=0, thread_local=False)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                lock.acquire()
            except Timeout:
                return False
            except (OSError, NotImplementedError) as error:
                self._unsupported = True
                logger.warning(
                    "%s: expected a folder that supports file locks, got: %s; two simultaneous runs may run a cell twice "
                    "(its record stays intact)",
                    self.folder,
                    error,
                )
                return True
            self._held[path.name] = lock
        return True

    def release(self, identity: Identity) -> None:
        """Release a cell that is stored or will not be run. Does nothing for a cell that is not held."""
        path = self._path(identity)
        with self._guard:
            lock = self._held.pop(path.name, None)
            if lock is not None:
                path.unlink(missing_ok=True)  # while still locked, so that waiting runs see it disappear
                lock.release()

    def held_elsewhere(self, identity: Identity) -> bool:
        """Whether another run holds the cell."""
        path = self._path(identity)
        if path.name in self._held or not path.exists():
            return False
        if not self.acquire(identity):
            return True
        self.release(identity)
        return False

    def close(self) -> None:
        """Release all cells."""
        with self._guard:
            for lock in self._held.values():
                lock.release()
            self._held.clear()

    def _path(self, identity: Identity) -> Path:
        return self.folder / f"{identity.digest()[:DIGEST_CHARACTERS]}.lock"
