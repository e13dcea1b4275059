"""The cache folder: derived data that is kept between runs and computed again when it is missing."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from coterie.tasks.atomic import replacing
from coterie.tasks.config.paths import expand_home
from coterie.tasks.errors import DataError

logger = logging.getLogger(__name__)


def cache_dir() -> Path:
    """The folder for data that can be computed again: `COTERIE_CACHE`, or the platform's user cache folder."""
    try:
        return Path(expand_home(os.environ.get("COTERIE_CACHE") or platformdirs.user_cache_dir("coterie")))
    except ValueError as error:
        raise DataError(f"COTERIE_CACHE: {error}") from None


def cached_json(
    kind: str, key: object, compute: Callable[[], Any], is_valid: Callable[[Any], bool] = lambda _value: True
) -> Any:
    """Return the JSON value of `compute()`, from the cache if it was computed before for the same `kind` and `key` (JSON).

    A cache file that is damaged, or whose value is not `is_valid`, is computed again. If the cache cannot be written, a
    warning is logged and the value is returned all the same.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir() / kind / f"{digest}.json"
    with suppress(OSError, ValueError):
        cached = json.loads(path.read_text("utf8"))
        if is_valid(cached):
            return cached
    text = json.dumps(compute(), ensure_ascii=False)
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, "utf8")
    except OSError as error:
        logger.warning(
            "%s: cannot be written, so it will be computed again next time: %s", path, error.strerror or error
        )
    return json.loads(text)
