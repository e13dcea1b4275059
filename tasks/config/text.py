"""Short text that users write: names that may be misspelled, and selectors such as `name[parameter=value]`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_LISTED = 12


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End an error about an unknown name: with similar known names, or, if there are none, with a list of known names."""
    known = sorted(known)
    if near := nearest(name, known, cutoff=0.5):
        return f"; did you mean {' or '.join(repr(word) for word in near)}?"
    more = f", ... ({len(known)} in total)" if len(known) > MAX_LISTED else ""
    return f"; known: {', '.join(known[:MAX_LISTED]) + more or 'none'}"


def nearest(name: str, known: Iterable[str], most: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known names most similar to `name`, most similar first, ignoring case."""
    by_lower = {word.lower(): word for word in sorted(known)}
    return [by_lower[word] for word in difflib.get_close_matches(name.lower(), by_lower, n=most, cutoff=cutoff)]


def split_selector(selector: str) -> tuple[str, str | None]:
    """`name[a=1]` to `("name", "a=1")`; the second is None without brackets. Raises `ValueError` for a missing `]`."""
    name, bracket, rest = selector.strip().partition("[")
    if not name.strip() or (bracket and not rest.endswith("]")):
        raise ValueError("expected name or name[parameter=value,...]")
    return name.strip(), rest[:-1] if bracket else None
