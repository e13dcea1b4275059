"""Which coalitions of a record were evaluated, as its page lists them."""

from __future__ import annotations

from coterie.leaderboard.statistics.sizes import eligible_sizes
from coterie.tracking.record import Record

LISTED = 50  # coalitions that are listed if the record's settings do not say which were evaluated


def evaluated(record: Record) -> tuple[list[tuple[int, list[int]]], str]:
    """(number in the record, members) of the evaluated coalitions, and a phrase that says which these are."""
    groups = list(enumerate(record.coalitions.groups if record.coalitions else []))
    settings = record.identity.settings
    most, smallest, share = (settings.get(name) for name in ("max_coalitions", "smallest", "largest_share"))
    if not isinstance(most, int) or not isinstance(smallest, int) or not isinstance(share, float):
        return groups[:LISTED], f"the first {LISTED} (the record's settings do not say which were evaluated)"
    sizes = eligible_sizes(record.task.n_players, smallest, share)
    chosen = [(number, group) for number, group in groups if len(group) in sizes]
    return chosen[:most], f"the evaluated ones, which are the first {most} of {smallest} to {sizes.stop - 1} neurons"
