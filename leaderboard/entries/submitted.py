"""Submissions as a board shows them: the card of each version, and whether its records are those that were verified."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from coterie.leaderboard.entries.hostile import check_words, read_text, strict_json, strict_yaml
from coterie.leaderboard.entries.submission import CARD, LARGEST, MANIFEST, Card, Manifest
from coterie.leaderboard.errors import HostileError
from coterie.tracking.record import Record, Strict
from coterie.tracking.store import Unreadable, explain_invalid

M = TypeVar("M", bound=Strict)


@dataclass
class Submitted:
    """One version of a method. ``verified`` is what its badge says; empty, and ``why_not`` says why, where it has none."""

    folder: Path
    card: Card
    manifest: Manifest
    records: list[Record] = field(default_factory=list)
    covered: int = 0  # of the records, how many a verification covers
    verified: str = ""
    why_not: str = "coterie verify has not scored its coalitions again"

    @property
    def newest(self) -> datetime:
        """When its newest record was made."""
        return max(record.when for record in self.records)

    @property
    def protocols(self) -> list[str]:
        return sorted({record.identity.protocol for record in self.records})

    @property
    def of(self) -> tuple[str, str, int]:
        """Method, parameters and budget, which all of its records share."""
        return key_of(self.records[0])


def key_of(record: Record) -> tuple[str, str, int]:
    """What tells entries apart but for their version: method, parameters, budget."""
    identity = record.identity
    return identity.method_name, json.dumps(identity.parameters, sort_keys=True), identity.budget


def read_submitted(folder: Path) -> Submitted | Unreadable:
    """Card and manifest of a submission, read as if they were hostile; its records are not looked at."""
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
        return Unreadable(folder / path, explain_invalid(error).replace("record", path))
    return Submitted(folder, card, manifest)


def newest_first(submissions: Iterable[Submitted], records: Iterable[Record]) -> list[Submitted]:
    """The submissions of the entry that these records are of, in whatever version."""
    keys = {key_of(record) for record in records}
    own = [s for s in submissions if s.of in keys]
    return sorted(own, key=lambda s: (s.newest, s.manifest.version), reverse=True)


def _validated(model: type[M], value: Any) -> M:
    for where, problem in check_words(value):
        raise HostileError(f"{problem.expected} at {where}", problem.got)
    return model.model_validate(value)
