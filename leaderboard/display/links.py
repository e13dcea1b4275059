"""Addresses inside the site. A name has the same address in every build, so that links to a page keep working."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore

LONGEST = 60
HASH_CHARACTERS = 8


def link(folder: str, name: str) -> str:
    """An address such as `tasks/pydoc-llama-relevance-1a2b3c4d.html`, safe as a path and in markup whatever the name.

    Names that are not their own slug get a hash, which distinguishes names with the same slug. Unlike `tracking.text.slug`,
    slugs are lower case, because some file systems ignore case.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST].strip("-")
    if slug != name:
        digest = hashlib.sha256(name.encode("utf8", "surrogatepass")).hexdigest()[:HASH_CHARACTERS]
        slug = f"{slug}-{digest}" if slug else digest
    return f"{folder}/{slug}.html"


def records_path(record: Record) -> str:
    """The record's path in an output folder, as `coterie inspect` takes it."""
    return RecordStore(Path("OUTPUT")).path_for(record).as_posix()
