"""Addresses inside the site. A name gives the same address in every build, so that links to a page keep working."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore

LONGEST = 60
HASH_CHARACTERS = 8


def link(folder: str, name: str) -> str:
    """``tasks/pydoc-llama-relevance-1a2b3c4d.html``: no character of a name leads out of the folder or into markup.

    A name that is its own slug has no hash; for all others the hash tells names of the same slug apart.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST].strip("-")
    if slug != name:
        digest = hashlib.sha256(name.encode("utf8", "surrogatepass")).hexdigest()[:HASH_CHARACTERS]
        slug = f"{slug}-{digest}" if slug else digest
    return f"{folder}/{slug}.html"


def records_path(record: Record) -> str:
    """Where the record lies in an output folder, as ``coterie inspect`` takes it."""
    return RecordStore(Path("OUTPUT")).path_for(record).as_posix()
