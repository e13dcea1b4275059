"""Names of folders that are made from names in files of others."""

from __future__ import annotations

import re


def slug(name: str) -> str:
    """A part of a folder's name that leads nowhere else, whatever the name is."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:60] or "x"
