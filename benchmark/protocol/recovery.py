"""How well proposed groups agree with the planted ones: omega index and adjusted mutual information.

Both are 1 for the truth and 0 on average for groups that were dealt at random (negative: worse than that).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Groups = Sequence[Sequence[int]]


def omega_index(n_players: int, truth: Groups, found: Groups) -> float:
    """Agreement of two covers on how many groups every pair of players shares, beyond chance.

    With ``s(i, j)`` and ``t(i, j)`` the number of groups of one and of the other cover that hold both i and j, over the
    M = n (n - 1) / 2 pairs:

        observed = |{s = t}| / M,   expected = sum over c of |{s = c}| |{t = c}| / M^2,
        omega = (observed - expected) / (1 - expected).

    Groups may overlap and need not cover all players; for two partitions it is the adjusted Rand index. Where all pairs
    share the same number of groups in both covers, it is 1.

    Reference: Collins & Dent (1988), Omega: a general formulation of the Rand index, Multivariate Behav. Res. 23.
    """
    upper = np.triu_indices(n_players, 1)
    shared = [_shared(n_players, groups)[upper] for groups in (truth, found)]
    most = int(max((counts.max(initial=0) for counts in shared), default=0)) + 1
    pairs = max(len(upper[0]), 1)
    one, other = (np.bincount(counts, minlength=most) / pairs for counts in shared)
    observed, expected = float(np.mean(shared[0] == shared[1])) if len(upper[0]) else 1.0, float(one @ other)
    return 1.0 if observed == 1 else (observed - expected) / (1 - expected)


def adjusted_mutual_information(n_players: int, truth: Groups, found: Groups) -> float:
    """AMI of the two partitions of the players that the truth puts into groups.

    A player of several groups counts for the first one, a player of the truth that was not found is a group of its own.
    What was found of other players does not count: the omega index sees to those.

    Reference: Vinh, Epps, Bailey (2010), Information theoretic measures for clusterings comparison, JMLR 11.
    """
    from sklearn.metrics import adjusted_mutual_info_score  # a second to import: only where it is needed

    grouped = sorted({i for group in truth for i in group})
    labels = [_first_group(n_players, groups)[grouped] for groups in (truth, found)]
    return float(adjusted_mutual_info_score(*labels))


def _shared(n_players: int, groups: Groups) -> np.ndarray:
    """Number of groups [players, players] that hold both."""
    member = np.zeros((len(groups), n_players), dtype=np.int64)
    for row, group in zip(member, groups, strict=True):
        row[list(group)] = 1
    shared: np.ndarray = member.T @ member
    return shared


def _first_group(n_players: int, groups: Groups) -> np.ndarray:
    """The number of each player's first group; a number of its own for a player of none."""
    labels = len(groups) + np.arange(n_players)
    for number, group in reversed(list(enumerate(groups))):
        labels[list(group)] = number
    return labels
