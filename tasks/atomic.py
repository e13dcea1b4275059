"""Write files atomically: readers see, and a kill leaves, the old file or the complete new one, never a part."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; the file written there replaces `path` at the end.

    The folder is created if necessary. After an error `path` is untouched and the temporary file is gone; a kill leaves
    it behind as `.NAME.*`. Raises `OSError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_files(folder: Path, last: str) -> Iterator[Path]:
    """Yield a temporary folder; the files written there move to `folder` at the end, the one named `last` after the others.

    So the file `last` exists only in a folder that is complete. After an error none of the files has moved. Raises
    `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".new.") as temporary:
        yield Path(temporary)
        for path in sorted(Path(temporary).iterdir(), key=lambda path: path.name == last):
            os.replace(path, folder / path.name)
