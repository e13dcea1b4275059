"""A row of the performance table: a piece of work, what it is compared with, and whether the target is met."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

NONE = "-"
"""Shown in a column that has no value."""


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    work: str
    """What is measured."""
    ours: str
    """The result of coterie."""
    against: str
    """What it is compared with and its result, or why nothing could be compared."""
    figure: str
    """The ratio, or whichever number the target limits."""
    target: str
    """The condition to meet."""
    met: bool | None
    """Whether the target is met; None if there is no target or nothing could be compared."""
    values: dict[str, Any] = field(default_factory=dict)
    """The bare numbers, for `--json`."""


def missing_package(module: str, extra: str) -> str | None:
    """Why a comparison with a package is impossible; None if the package is installed."""
    if find_spec(module) is not None:
        return None
    return f"{module.replace('_', '-')} is not installed; fix: pip install 'coterie[{extra}]'"
