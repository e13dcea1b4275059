"""Atomic writing: a file appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

TEMPORARY_SUFFIX = ".coterie-tmp"  # used only by coterie, because the output folder may hold other files of the user
LEFTOVER_SECONDS = 60.0  # writing a record takes milliseconds: an older temporary file belongs to a killed process


def write_atomic(path: Path, text: str) -> None:
    """Write `text` as UTF-8. Readers see the old file or the whole new one, even after a kill at any moment.

    The temporary file is hidden, in the same folder (a rename is atomic only within one file system), and has the
    permissions of the process's umask. Raises `OSError`, after removing the temporary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        with open(temporary, "x", encoding="utf8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_beside(path: Path) -> Path:
    """A path for a temporary file in the same folder, unique to this call."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


def remove_leftovers(folder: Path, *, recursive: bool = True) -> None:
    """Delete the temporary files that killed processes left in `folder` (and below it)."""
    pattern = f".*{TEMPORARY_SUFFIX}"
    oldest_in_use = time.time() - LEFTOVER_SECONDS
    for file in folder.rglob(pattern) if recursive else folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another process may be cleaning up too
            if file.is_file() and file.stat().st_mtime < oldest_in_use:
                file.unlink()
