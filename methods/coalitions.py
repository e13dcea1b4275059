"""Coalitions: what a method answers. The second of coterie's four types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from operator import index
from typing import Any


@dataclass(frozen=True)
class Coalitions:
    """Groups of player indices, strongest first; they may overlap and may leave players out.

    Validated at construction: every index an integer in ``range(n_players)``, no index twice in a group, no empty
    group, no group twice. Members are kept in ascending order. ``notes`` holds what the method wants to report beside
    them (a certificate, convergence), as JSON values.

    Raises ``ValueError`` with the group and the index at fault.
    """

    n_players: int
    groups: tuple[tuple[int, ...], ...]
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: dict[tuple[int, ...], int] = {}
        clean = []
        for position, group in enumerate(self.groups):
            members = tuple(sorted(_index(i, position) for i in group))
            self._check(position, members)
            if members in seen:
                raise ValueError(
                    f"coalitions[{position}]: the same members as coalitions[{seen[members]}]; fix: name it once"
                )
            seen[members] = position
            clean.append(members)
        object.__setattr__(self, "groups", tuple(clean))

    def _check(self, position: int, members: tuple[int, ...]) -> None:
        if not members:
            raise ValueError(f"coalitions[{position}]: expected at least one player, got an empty group")
        if members[0] < 0 or members[-1] >= self.n_players:
            wrong = members[0] if members[0] < 0 else members[-1]
            raise ValueError(f"coalitions[{position}]: expected player indices 0 to {self.n_players - 1}, got {wrong}")
        for a, b in pairwise(members):
            if a == b:
                raise ValueError(f"coalitions[{position}]: player {a} stands twice; fix: name each member once")

    @classmethod
    def of(cls, n_players: int, groups: Iterable[Iterable[int]], **notes: Any) -> Coalitions:
        """Build from any iterables of indices (arrays, sets), with notes as keywords."""
        return cls(n_players, tuple(tuple(group) for group in groups), notes)

    @property
    def sizes(self) -> list[int]:
        return [len(group) for group in self.groups]


def _index(value: Any, position: int) -> int:
    try:
        return index(value)
    except TypeError:
        raise ValueError(f"coalitions[{position}]: expected integer player indices, got {value!r}") from None
