"""Where derived files are kept between runs, and how a file is written so that a kill leaves the old one or the new."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from coterie.tasks.config.paths import at_home
from coterie.tasks.errors import DataError

logger = logging.getLogger(__name__)


def cache_dir() -> Path:
    """The folder for what can be made again: ``COTERIE_CACHE``, or the platform's user cache folder."""
    try:
        return Path(at_home(os.environ.get("COTERIE_CACHE") or platformdirs.user_cache_dir("coterie")))
    except ValueError as error:
        raise DataError(f"COTERIE_CACHE: {error}") from None


def remembered(
    kind: str, key: object, make: Callable[[], Any], fits: Callable[[Any], bool] = lambda _value: True
) -> Any:
    """The JSON value that ``make`` gives, made once for each key (JSON) and then read from the cache folder.

    A cache file that others damaged, or whose value lacks the form that ``fits`` asks for, is made anew; a cache that cannot
    be written is done without, with a warning.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir() / kind / f"{digest}.json"
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text("utf8"))
        if fits(kept):
            return kept
    text = json.dumps(make(), ensure_ascii=False)
    try:
        write_atomic(path, text)
    except OSError as error:
        logger.warning("%s: cannot be written, and is made again next time: %s", path, error.strerror or error)
    return json.loads(text)


def write_atomic(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that readers see the old file or the whole new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
