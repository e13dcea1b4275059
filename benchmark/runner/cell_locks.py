"""Who is running a cell: a locked file each, so that two runs on one output folder do not run it twice."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from coterie.tracking.record import Identity

logger = logging.getLogger(__name__)

DIGEST_CHARACTERS = 16


class Claims:
    """Claims on cells by identity, under ``root/.claims``. The system releases those of a process that ends, however it does.

    A claim is a courtesy: without it a cell would be run twice and stored twice, the second time in place of the first. So
    a file system that knows no locks costs a warning, not the run.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / ".claims"
        self._held: dict[str, FileLock] = {}
        self._guard = threading.Lock()
        self._lockless = False

    def take(self, identity: Identity) -> bool:
        """Whether the cell is now ours; if not, another run has it at this moment."""
        name = identity.digest()[:DIGEST_CHARACTERS]
        with self._guard:
            if self._lockless:
                return True
            lock = FileLock(self.folder / f"{name}.lock", timeout=0, thread_local=False)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                lock.acquire()
            except Timeout:
                return False
            except (OSError, NotImplementedError) as error:
                self._lockless = True
                logger.warning(
                    "%s: expected a folder where files can be locked, got: %s; two runs at once may run a cell twice "
                    "(its record stays whole)",
                    self.folder,
                    error,
                )
                return True
            self._held[name] = lock
        return True

    def release(self, identity: Identity) -> None:
        """The cell is stored, or will not be run. Releasing what was never taken does nothing."""
        name = identity.digest()[:DIGEST_CHARACTERS]
        with self._guard:
            lock = self._held.pop(name, None)
            if lock is not None:
                Path(lock.lock_file).unlink(missing_ok=True)  # while it is ours: a waiting run sees that it is gone
                lock.release()

    def busy(self, identity: Identity) -> bool:
        """Whether another run has the cell at this moment."""
        name = identity.digest()[:DIGEST_CHARACTERS]
        if name in self._held or not (self.folder / f"{name}.lock").exists():
            return False
        if not self.take(identity):
            return True
        self.release(identity)
        return False

    def close(self) -> None:
        """Release everything."""
        with self._guard:
            for lock in self._held.values():
                lock.release()
            self._held.clear()
