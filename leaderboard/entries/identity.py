"""Which records belong to the same method, whatever its version: those with its name, parameters and budget."""

from __future__ import annotations

import json
from typing import NamedTuple

from coterie.tracking.record import Record


class MethodKey(NamedTuple):
    """A method with its parameters and budget, in any version of its code."""

    method_name: str
    """Name of the method."""

    parameters: str
    """Its parameters as JSON with sorted keys."""

    budget: int
    """Evaluations that it may spend."""

    @classmethod
    def of(cls, record: Record) -> MethodKey:
        """The key of the method that made a record."""
        identity = record.identity
        return cls(identity.method_name, json.dumps(identity.parameters, sort_keys=True), identity.budget)
