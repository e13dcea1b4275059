"""The interface of all formats of collections: four streams of items, and checks of single values."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from coterie.tasks.errors import DataError

Text = tuple[str, str, str]  # where, id, text
Judgement = tuple[str, str, str, int]  # where, query id, document id, grade
Scored = tuple[str, str, str, float]  # where, query id, document id, score
Needed = frozenset[str] | None  # ids of the documents to read; None: all


class Reader(ABC):
    """Reads one collection as streams. Each item begins with its place (`file:line`); streams are read one at a time."""

    @abstractmethod
    def queries(self) -> Iterator[Text]:
        """The queries."""

    @abstractmethod
    def qrels(self) -> Iterator[Judgement]:
        """The judgements."""

    def run(self) -> Iterator[Scored] | None:
        """The candidates with their scores; None if the collection has no run."""
        return None

    @abstractmethod
    def documents(self, needed: Needed) -> Iterator[Text]:
        """The documents: all of them, or only the needed ones if the collection can look these up."""


def id_in(where: str, row: dict[str, Any], name: str) -> str:
    """The id in a field of a row. Raises `DataError` if it is missing, empty or neither text nor whole number."""
    value = row.get(name)
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise DataError(f"{where}: {name}: expected an id, got {value!r}; fields: {sorted(row)[:8]}")
    return str(value)


def title_and_text(where: str, row: dict[str, Any]) -> str:
    """The fields `title`, if any, and `text` of a row, joined by a space. Raises `DataError` if one is not text."""
    parts = []
    for name, part in (("title", row.get("title") or ""), ("text", row.get("text"))):
        if not isinstance(part, str):
            raise DataError(f"{where}: {name}: expected a text, got {part!r:.60}; fields: {sorted(row)[:8]}")
        parts.append(part.strip())
    return " ".join(part for part in parts if part)


def to_grade(where: str, value: Any) -> int:
    """A relevance grade, from a number or text. Raises `DataError` if it is not whole."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number.is_integer():
        raise DataError(f"{where}: grade: expected a whole number, got {value!r}")
    return int(number)
