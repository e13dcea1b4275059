"""How well two groupings of the same players agree: one function for the seeds of a method and for planted groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


def first_group_labels(n_players: int, groups: Sequence[Sequence[int]], smallest: int = 1) -> Labels:
    """The number of each player's first group, shape (players,), for groups that may overlap.

    Groups below `smallest` do not count. A player in no group gets a negative number that no other player has.
    """
    labels = -1 - np.arange(n_players)
    for number, group in reversed(list(enumerate(groups))):
        if len(group) >= smallest:
            labels[list(group)] = number
    return labels


def adjusted_mutual_information(one: Labels, other: Labels) -> float:
    """AMI of two labellings of the same players: 1 for equal partitions, 0 on average for independent ones.

    Shapes: (players,) twice.

    Reference: Vinh, Epps, Bailey (2010), Information theoretic measures for clusterings comparison, JMLR 11.
    """
    from sklearn.metrics import adjusted_mutual_info_score  # takes a second to import

    return float(adjusted_mutual_info_score(one, other))
