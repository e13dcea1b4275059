"""Agreement over seeds: does a method propose the same coalitions whatever its seed is?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

import numpy as np

from coterie.leaderboard.board.types import Agreement
from coterie.tracking.record import CoalitionSet, Record


def agreement_of_seeds(entry: str, records: Sequence[Record]) -> Agreement:
    """Adjusted mutual information of every pair of an entry's seeds on one task, and their mean."""
    sets = [record.coalitions for record in records if record.coalitions is not None]
    found = [adjusted_mutual_information(one, two) for one, two in combinations(sets, 2)]
    reason = None if found else f"{len(sets)} seed{'s are' if len(sets) != 1 else ' is'} too few, 2 are needed"
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


def adjusted_mutual_information(one: CoalitionSet, two: CoalitionSet) -> float | None:
    """AMI of two answers over the players that either puts into a coalition of two or more.

    A player of several coalitions counts for the first, a player of none is a group of its own. None where neither has
    such a coalition. Players that both leave alone say nothing about which players belong together, and are left out:
    with thousands of them every two answers would agree.

    Reference: Vinh, Epps, Bailey (2010), Information theoretic measures for clusterings comparison, JMLR 11.
    """
    from sklearn.metrics import adjusted_mutual_info_score  # a second to import: only where it is needed

    labels = np.stack([_labels(one), _labels(two)])
    together = (labels >= 0).any(axis=0)
    if not together.any():
        return None
    return float(adjusted_mutual_info_score(*labels[:, together]))


def _labels(coalitions: CoalitionSet) -> np.ndarray:
    """The number of each player's first coalition of two or more [players]; a negative number of its own if there is none."""
    labels = -1 - np.arange(coalitions.n_players)
    for number, group in reversed(list(enumerate(coalitions.groups))):
        if len(group) > 1:
            labels[group] = number
    return labels
