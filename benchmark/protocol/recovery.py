"""How well proposed groups agree with the planted ones: omega index and adjusted mutual information.

Both are 1 for the truth and 0 on average for groups drawn at random; negative values are worse than chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.leaderboard.statistics import agreement

Groups = Sequence[Sequence[int]]


def omega_index(n_players: int, truth: Groups, found: Groups) -> float:
    """Chance-corrected agreement of two covers on how many groups each pair of players shares.

    Let s(i, j) and t(i, j) be the number of groups of the first and of the second cover that contain both i and j. Over the
    M = n (n - 1) / 2 pairs of n players:

        observed = |{s = t}| / M,   expected = sum over c of |{s = c}| |{t = c}| / M^2,
        omega = (observed - expected) / (1 - expected).

    Groups may overlap and need not cover all players. For two partitions it is the adjusted Rand index. It is 1 if all
    pairs share the same number of groups in both covers.

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
    """AMI of two groupings of the players that belong to a true group.

    A player in several groups counts for the first of them; a player in none of the found groups is a singleton. Found
    members outside the true groups are ignored here; the omega index accounts for them.

    Reference: Vinh, Epps, Bailey (2010), Information theoretic measures for clusterings comparison, JMLR 11.
    """
    grouped = sorted({i for group in truth for i in group})
    return agreement.adjusted_mutual_information(
        *(agreement.first_group_labels(n_players, groups)[grouped] for groups in (truth, found))
    )


def _shared(n_players: int, groups: Groups) -> np.ndarray:
    """Number of groups that contain both players, shape (players, players)."""
    member = np.zeros((len(groups), n_players), dtype=np.int64)
    for row, group in zip(member, groups, strict=True):
        row[list(group)] = 1
    shared: np.ndarray = member.T @ member
    return shared
