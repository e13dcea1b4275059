"""Short text that users write: names that may be misspelled, and selectors such as `name[parameter=value]`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

MAX_LISTED = 12
_AS_SIMILAR = 0.05  # of a ratio of matching characters


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: similar known names or, if there are none, a list of known names."""
    known = sorted(known)
    if near := nearest(name, known, cutoff=0.5):
        return f"; did you mean {' or '.join(repr(word) for word in near)}?"
    more = f", ... ({len(known)} in total)" if len(known) > MAX_LISTED else ""
    return f"; known: {', '.join(known[:MAX_LISTED]) + more or 'none'}"


def expected_one_of(known: Iterable[str], got: str) -> str:
    """The end of an error about a word that is not one of a few: the words, what was found, and similar words."""
    known = list(known)
    return f"expected {', '.join(known)}, got {got!r}{did_you_mean(got, known) if nearest(got, known) else ''}"


def nearest(name: str, known: Iterable[str], most: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known names most similar to `name`, most similar first, ignoring case; only those nearly as similar as the first."""
    by_lower = {word.lower(): word for word in sorted(known)}
    close = difflib.get_close_matches(name.lower(), by_lower, n=most, cutoff=cutoff)
    ratios = {word: difflib.SequenceMatcher(None, name.lower(), word).ratio() for word in close}
    best = max(ratios.values(), default=0.0)
    return [by_lower[word] for word in close if ratios[word] >= best - _AS_SIMILAR]


def explain_problem(problem: Mapping[str, Any]) -> str:
    """What a problem of pydantic's `ValidationError.errors()` expects, worded as our own errors are."""
    if problem["type"] == "path_type":
        return "expected a path"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be", "expected").replace("a valid integer", "a whole number")


def split_selector(selector: str) -> tuple[str, str | None]:
    """`name[a=1]` to `("name", "a=1")`; the second is None without brackets. Raises `ValueError` for a missing `]`."""
    name, bracket, rest = selector.strip().partition("[")
    if not name.strip() or (bracket and not rest.endswith("]")):
        raise ValueError("expected name or name[parameter=value,...]")
    return name.strip(), rest[:-1] if bracket else None
