"""How large coalitions are and how much of a layer they cover, which reveals one giant coalition or nothing but singletons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
SMALLEST = 2
LARGEST_SHARE = 1 / 8


@dataclass(frozen=True)
class Sizes:
    """The sizes of a set of coalitions. Shares are of all players, 0 to 1; a player in several coalitions counts once."""

    n_players: int
    """Number of players."""

    number: int
    """Number of coalitions of any size."""

    eligible: int
    """Number of coalitions of an eligible size."""

    largest: int
    """Players in the largest coalition; 0 without coalitions."""

    largest_share: float
    """Share of the players in the largest coalition."""

    singleton_share: float
    """Share of the players in a coalition of one and in no larger one."""

    left_out_share: float
    """Share of the players in no coalition."""

    covered_share: float
    """Share of the players in at least one coalition of an eligible size."""

    quantiles: tuple[int, ...]
    """The coalitions' sizes at `QUANTILES`; empty without coalitions. See `size_quantiles`."""


def eligible_sizes(n_players: int, smallest: int = SMALLEST, largest_share: float = LARGEST_SHARE) -> range:
    """The sizes that the protocol evaluates: `smallest` to `floor(largest_share * n_players)`."""
    return range(smallest, int(n_players * largest_share) + 1)


def size_quantiles(sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes at `QUANTILES`, each the smallest that at least this share of the coalitions does not exceed.

    Every quantile is the size of some coalition; without coalitions there are no quantiles.
    """
    ordered = sorted(sizes)
    return tuple(ordered[max(ceil(q * len(ordered)), 1) - 1] for q in QUANTILES) if ordered else ()


def describe_sizes(
    n_players: int,
    groups: Sequence[Sequence[int]],
    smallest: int = SMALLEST,
    largest_share: float = LARGEST_SHARE,
) -> Sizes:
    """Describe coalitions given as player indices; they may overlap and leave players out.

    Eligible sizes are those of `eligible_sizes`. Raises `ValueError` for no players, an empty group, an index out of
    range and a player listed twice in a group.
    """
    if n_players < 1:
        raise ValueError(f"n_players: expected at least 1, got {n_players}")
    eligible = eligible_sizes(n_players, smallest, largest_share)
    alone, together, covered = set[int](), set[int](), set[int]()
    for position, group in enumerate(groups):
        members = _members(group, n_players, position)
        (alone if len(members) == 1 else together).update(members)
        if len(members) in eligible:
            covered |= members
    sizes = [len(group) for group in groups]
    return Sizes(
        n_players=n_players,
        number=len(sizes),
        eligible=sum(size in eligible for size in sizes),
        largest=max(sizes, default=0),
        largest_share=max(sizes, default=0) / n_players,
        singleton_share=len(alone - together) / n_players,
        left_out_share=1 - len(alone | together) / n_players,
        covered_share=len(covered) / n_players,
        quantiles=size_quantiles(sizes),
    )


def _members(group: Sequence[int], n_players: int, position: int) -> set[int]:
    members = set(group)
    if not members or len(members) != len(group):
        raise ValueError(
            f"coalitions[{position}]: expected at least one player, each once, got {len(group)} with {len(members)} distinct"
        )
    if min(members) < 0 or max(members) >= n_players:
        wrong = min(members) if min(members) < 0 else max(members)
        raise ValueError(f"coalitions[{position}]: expected player indices 0 to {n_players - 1}, got {wrong}")
    return members
