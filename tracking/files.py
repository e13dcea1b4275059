"""How tracking writes a file: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

TEMPORARY_SUFFIX = ".coterie-tmp"  # ours alone: the output folder may be any folder of the user
LEFTOVER_SECONDS = 60.0  # a record is written in milliseconds: an older temporary file belongs to a killed process


def write_atomic(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 so that readers, and a kill at any moment, see the old file or the whole new one.

    The temporary file lies in the same folder (a rename is atomic only within one file system), hidden, and is created
    with the process's own umask. Raises ``OSError``; the temporary file is then gone.
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
    """A name for a temporary file that no other process or thread uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


def remove_leftovers(folder: Path, *, recursive: bool = True) -> None:
    """Delete the temporary files that killed processes left in ``folder`` (and below it)."""
    pattern = f".*{TEMPORARY_SUFFIX}"
    oldest_in_use = time.time() - LEFTOVER_SECONDS
    for file in folder.rglob(pattern) if recursive else folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another process cleans up as well
            if file.is_file() and file.stat().st_mtime < oldest_in_use:
                file.unlink()
