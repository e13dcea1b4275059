"""Coalitions: groups of players, as a method returns them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from operator import index
from typing import Any


@dataclass(frozen=True)
class Coalitions:
    """Groups of player indices, strongest first. They may overlap and may leave players out.

    Validated at construction: every index is an integer in `range(n_players)`, no index appears twice in a group, no group
    is empty or appears twice. Raises `ValueError` with the group and the index at fault.
    """

    n_players: int
    """Number of players in the game."""
    groups: tuple[tuple[int, ...], ...]
    """The members of each group, in ascending order."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What the method reports besides the groups (a certificate, convergence), as JSON values."""

    def __post_init__(self) -> None:
        seen: dict[tuple[int, ...], int] = {}
        clean = []
        for position, group in enumerate(self.groups):
            members = tuple(sorted(_index(i, position) for i in group))
            self._check(position, members)
            if members in seen:
                raise ValueError(
                    f"coalitions[{position}]: expected other members than coalitions[{seen[members]}], got the same; "
                    f"fix: leave one group out"
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
                raise ValueError(
                    f"coalitions[{position}]: expected each member once, got player {a} twice; fix: leave one out"
                )

    @classmethod
    def of(cls, n_players: int, groups: Iterable[Iterable[int]], **notes: Any) -> Coalitions:
        """Build coalitions from any iterables of indices (arrays, sets), with notes as keywords."""
        return cls(n_players, tuple(tuple(group) for group in groups), notes)

    @property
    def sizes(self) -> list[int]:
        """The number of members of each group."""
        return [len(group) for group in self.groups]


def _index(value: Any, position: int) -> int:
    try:
        return index(value)
    except TypeError:
        raise ValueError(f"coalitions[{position}]: expected integer player indices, got {value!r}") from None
