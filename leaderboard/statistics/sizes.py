"""How large coalitions are, and how much of a layer they cover: what shows a giant coalition or one of singletons only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
SMALLEST = 2
LARGEST_SHARE = 1 / 8


@dataclass(frozen=True)
class Sizes:
    """The sizes of a set of coalitions of n players. Shares are of the n players, 0 to 1; players count once each.

    ``quantiles`` are those of the coalitions' sizes at :data:`QUANTILES`, each the size of some coalition: the smallest
    size that at least this share of the coalitions does not exceed. There are none where there is no coalition.
    """

    n_players: int
    number: int  # coalitions of any size
    eligible: int  # those of an eligible size
    largest: int  # players of the largest coalition, 0 where there is none
    largest_share: float
    singleton_share: float  # players that stand in a coalition of one and in no larger one
    left_out_share: float  # players in no coalition
    covered_share: float  # players in at least one coalition of an eligible size
    quantiles: tuple[int, ...]


def describe_sizes(
    n_players: int,
    groups: Sequence[Sequence[int]],
    smallest: int = SMALLEST,
    largest_share: float = LARGEST_SHARE,
) -> Sizes:
    """Describe coalitions given as player indices; they may overlap and leave players out.

    Eligible are sizes of ``smallest`` to ``floor(largest_share n)``, as in the protocol. Raises ``ValueError`` for no
    players, an empty group, an index out of range and a player who stands twice in a group.
    """
    if n_players < 1:
        raise ValueError(f"n_players: expected at least 1, got {n_players}")
    top = int(n_players * largest_share)
    alone, together, covered = set[int](), set[int](), set[int]()
    for position, group in enumerate(groups):
        members = _members(group, n_players, position)
        (alone if len(members) == 1 else together).update(members)
        if smallest <= len(members) <= top:
            covered |= members
    sizes = sorted(len(group) for group in groups)
    return Sizes(
        n_players=n_players,
        number=len(sizes),
        eligible=sum(smallest <= size <= top for size in sizes),
        largest=max(sizes, default=0),
        largest_share=max(sizes, default=0) / n_players,
        singleton_share=len(alone - together) / n_players,
        left_out_share=1 - len(alone | together) / n_players,
        covered_share=len(covered) / n_players,
        quantiles=tuple(sizes[max(ceil(q * len(sizes)), 1) - 1] for q in QUANTILES) if sizes else (),
    )


def _members(group: Sequence[int], n_players: int, position: int) -> set[int]:
    members = set(group)
    if not members or len(members) != len(group):
        raise ValueError(
            f"coalitions[{position}]: expected distinct players, at least one, got {len(group)} with doubles"
        )
    if min(members) < 0 or max(members) >= n_players:
        wrong = min(members) if min(members) < 0 else max(members)
        raise ValueError(f"coalitions[{position}]: expected player indices 0 to {n_players - 1}, got {wrong}")
    return members
