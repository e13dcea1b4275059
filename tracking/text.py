"""Text for people: untrusted text made safe for terminals, pictures and folder names, and validation errors in one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


def printable(text: str, most: int | None = None, *, keep: str = "") -> str:
    """The first `most` characters, with a space for each that is neither printable nor in `keep`."""
    return "".join(c if c.isprintable() or c in keep else " " for c in text[:most])


def slug(text: str, most: int = 60) -> str:
    """A part of a folder's or file's name made of letters, digits, `_` and `-`; `x` if nothing is left."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:most].strip("-") or "x"


def explain_invalid(error: ValidationError, what: str = "record") -> str:
    """`not a valid <what>: <its first problem>`."""
    return f"not a valid {what}: {first_problem(error)}"


def first_problem(error: ValidationError) -> str:
    """The first problem, as `place: message (and n more)`, safe to print."""
    details = error.errors(include_url=False, include_input=False)
    first = details[0]
    where = ascii(".".join(str(part) for part in first["loc"]))[1:-1][:200]  # keys come from other people's files
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{where + ': ' if where else ''}{first['msg']}{more}"
