"""Submissions as a board shows them: the card of each version, and whether its records are the verified ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from coterie.leaderboard.entries.hostile import check_words, read_text, strict_json, strict_yaml
from coterie.leaderboard.entries.identity import MethodKey
from coterie.leaderboard.entries.submission import CARD, LARGEST, MANIFEST, Card, Manifest
from coterie.leaderboard.errors import HostileError
from coterie.tracking.record import Record, Strict
from coterie.tracking.store import Unreadable
from coterie.tracking.text import explain_invalid

M = TypeVar("M", bound=Strict)


@dataclass
class Submitted:
    """One version of a method, as its author submitted it."""

    folder: Path
    """The submission's folder."""

    card: Card
    """Who made the method, and what it is."""

    manifest: Manifest
    """What the submission claims to be."""

    records: list[Record] = field(default_factory=list)
    """Its readable records."""

    covered: int = 0
    """Number of records that a verification covers."""

    verified: str = ""
    """Text of its badge; empty without one."""

    why_not: str = "coterie verify has not scored its coalitions again"
    """Why it has no badge."""

    @property
    def newest(self) -> datetime:
        """Date of its newest record."""
        return max(record.when for record in self.records)

    @property
    def protocols(self) -> list[str]:
        """The protocols of its records."""
        return sorted({record.identity.protocol for record in self.records})

    @property
    def key(self) -> MethodKey:
        """The method, parameters and budget that all its records share."""
        return MethodKey.of(self.records[0])


def read_submitted(folder: Path) -> Submitted | Unreadable:
    """Card and manifest of a submission, treated as hostile, or why they are not valid. Records are not read."""
    path = CARD
    try:
        manifest = _validated(Manifest, strict_json(read_text(folder, path := MANIFEST, LARGEST[MANIFEST])))
        card = _validated(Card, strict_yaml(read_text(folder, path := CARD, LARGEST[CARD])))
        if (card.method, card.version) != (manifest.method, manifest.version):
            raise HostileError(
                f"{manifest.method} {manifest.version}, as in {MANIFEST}", f"{card.method} {card.version}"
            )
    except HostileError as error:
        return Unreadable(folder / path, str(error))
    except ValidationError as error:
        return Unreadable(folder / path, explain_invalid(error, path))
    return Submitted(folder, card, manifest)


def newest_first(submissions: Iterable[Submitted], records: Iterable[Record]) -> list[Submitted]:
    """All versions of the method that made these records, as submitted, newest first."""
    keys = {MethodKey.of(record) for record in records}
    own = [submitted for submitted in submissions if submitted.key in keys]
    return sorted(own, key=lambda s: (s.newest, s.manifest.version), reverse=True)


def _validated(model: type[M], value: Any) -> M:
    for where, problem in check_words(value):
        raise HostileError(f"{problem.expected} at {where}", problem.got)
    return model.model_validate(value)
