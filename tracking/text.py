"""Text from other people's files, made safe for terminals, pictures and folder names."""

from __future__ import annotations

import re


def printable(text: str, most: int | None = None, *, keep: str = "") -> str:
    """The first `most` characters, with a space for each that is neither printable nor in `keep`."""
    return "".join(c if c.isprintable() or c in keep else " " for c in text[:most])


def slug(text: str, most: int = 60) -> str:
    """A part of a folder's or file's name made of letters, digits, `_` and `-`; `x` where nothing is left."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:most].strip("-") or "x"
