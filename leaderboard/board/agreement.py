"""Agreement of seeds: does a method propose the same coalitions whatever its seed?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

import numpy as np

from coterie.leaderboard.board.types import Agreement
from coterie.leaderboard.statistics.agreement import adjusted_mutual_information, first_group_labels
from coterie.tracking.record import CoalitionSet, Record


def agreement_of_seeds(entry: str, records: Sequence[Record]) -> Agreement:
    """Agreement of every pair of an entry's seeds on one task, and the mean over pairs."""
    sets = [record.coalitions for record in records if record.coalitions is not None]
    found = [agreement_of(one, other) for one, other in combinations(sets, 2)]
    reason = None if found else f"agreement needs at least 2 seeds, got {len(sets)}"
    values = [value for value in found if value is not None]
    if found and not values:
        reason = "no seed has a coalition of two or more"
    return Agreement(
        entry=entry,
        n_seeds=len(sets),
        ami=fmean(values) if values else None,
        lowest=min(values, default=None),
        highest=max(values, default=None),
        reason=reason,
    )


def agreement_of(one: CoalitionSet, other: CoalitionSet) -> float | None:
    """AMI of two sets of coalitions over the players that either puts into a coalition of two or more.

    A player in several coalitions counts for the first; a player in none is a group by itself. Players that are alone in
    both sets say nothing about who belongs together and are left out: with thousands of them, any two sets would agree.
    None if neither set has a coalition of two or more.
    """
    labels = np.stack([first_group_labels(c.n_players, c.groups, smallest=2) for c in (one, other)])
    together = (labels >= 0).any(axis=0)
    return adjusted_mutual_information(*labels[:, together]) if together.any() else None
