"""What users write in one line: names that may be misspelled, and selectors such as `name[parameter=value]`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_LISTED = 12


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of an error about an unknown name: the nearest known names, or a list of them where none is near."""
    known = sorted(known)
    if near := nearest(name, known, cutoff=0.5):
        return f"; did you mean {' or '.join(repr(word) for word in near)}?"
    more = f", ... ({len(known)} in all)" if len(known) > MOST_LISTED else ""
    return f"; known: {', '.join(known[:MOST_LISTED]) + more or 'none'}"


def nearest(name: str, known: Iterable[str], most: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known names closest to `name`, closest first; upper and lower case count as equal."""
    by_lower = {word.lower(): word for word in sorted(known)}
    return [by_lower[word] for word in difflib.get_close_matches(name.lower(), by_lower, n=most, cutoff=cutoff)]


def split_selector(selector: str) -> tuple[str, str | None]:
    """`name[a=1]` -> `("name", "a=1")`; the second is None without brackets. Raises `ValueError` for a missing `]`."""
    name, bracket, rest = selector.strip().partition("[")
    if not name.strip() or (bracket and not rest.endswith("]")):
        raise ValueError("expected name or name[parameter=value,...]")
    return name.strip(), rest[:-1] if bracket else None
