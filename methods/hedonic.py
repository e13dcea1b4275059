"""Hedonic games on an affinity matrix: choice sets, utilities, and the exact top-covering algorithm.

A player i values a coalition S by its k best friends in it, friends being players of positive affinity:

    Ch(i, S) = the at most k players j of S with the largest phi_ij > 0   (ties of phi: the lower index)
    u_i(S)   = 1/k * sum of phi_ij over j in Ch(i, S)                     (so being alone is worth 0)

and of two coalitions with the same choice set it prefers the smaller. These preferences are top-responsive, which is
what the algorithms and their guarantees ask for: i likes no subset of S better than Ch(i, S) with itself.

Deviations from the paper: its utility is the mean of phi over the k best others, whatever their sign, and over all the
others where those are fewer than k. The two are the same where k friends are there. Where they are not, that one is not
top-responsive: a mean over fewer friends makes a pair beat every larger coalition with the same best friend, and a
player would rather be alone than count enemies among its best.

A choice set is held as the *ranks* of its members in the player's order of preference, ascending, padded with NOBODY:
equal choice sets are equal rows, and lexicographic order of rows breaks ties of utility the same way in every order of
the draws.

References: Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684 (the utility); Alcalde & Revilla
(2004), Researching with whom? Stability and manipulation, J. Math. Econ. 40 (top-responsiveness, top-covering).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy.typing import NDArray

    Indices = NDArray[np.int64]
    Wants = Callable[["Preferences", Indices], Bool[np.ndarray, "alive alive"]]

NOBODY = np.iinfo(np.int32).max
BLOCK = 2**20  # entries of choice sets (coalitions x players x k) in memory at once
_LOOKED_UP = 2**24  # entries of the players' orders looked up at once


@dataclass(frozen=True)
class Preferences:
    """Every player's order over the others: ``order[i, r]`` is the player of rank r for i, i itself the last one.

    Ranks below ``friends[i]`` are those of positive affinity.
    """

    affinity: Float[np.ndarray, "n n"]
    order: Int[np.ndarray, "n n"]
    rank: Int[np.ndarray, "n n"]
    friends: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, affinity: Float[np.ndarray, "n n"]) -> Preferences:
        """By descending affinity, ties by index. The stable sort makes that the same on every machine."""
        n = len(affinity)
        kind = np.uint16 if n <= np.iinfo(np.uint16).max else np.int32
        order, rank, friends = np.empty((n, n), kind), np.empty((n, n), kind), np.empty(n, dtype=np.int64)
        step = max(1, BLOCK // n)
        for start in range(0, n, step):
            rows = np.arange(start, min(start + step, n))
            dislike = -affinity[rows]
            dislike[np.arange(len(rows)), rows] = np.inf
            friends[rows] = (dislike < 0).sum(axis=1)
            order[rows] = np.argsort(dislike, axis=1, kind="stable")
            rank[rows[:, None], order[rows]] = np.arange(n, dtype=kind)
        return cls(affinity, order, rank, friends)

    def __len__(self) -> int:
        return len(self.affinity)


@dataclass(frozen=True)
class Views:
    """Coalitions as their members see them: one row for each pair of a coalition and a member."""

    masks: Bool[np.ndarray, "coalitions n"]
    coalition: Int[np.ndarray, " pairs"]
    player: Int[np.ndarray, " pairs"]
    choice: Int[np.ndarray, "pairs k"]
    utility: Float[np.ndarray, " pairs"]


def views(
    preferences: Preferences, masks: Bool[np.ndarray, "coalitions n"], k: int, of: Bool[np.ndarray, " n"] | None = None
) -> Iterator[Views]:
    """Choice sets and utilities of the members (those in `of`, where given) of all coalitions, in bounded memory."""
    n = len(preferences)
    step = max(1, BLOCK // (n * k))
    for start in range(0, len(masks), step):
        block = masks[start : start + step]
        coalition, player = np.nonzero(block if of is None else block & of)
        size = int(block.sum(axis=1).max())
        # A member looks at all the others, or down its order until it has met k of them: after k n / size on average.
        look = _choice_by_gathering if size * size <= 2 * k * n else _choice_by_scanning
        choice = look(preferences, block, coalition, player, k)
        yield Views(block, coalition, player, choice, _utility(preferences, player, choice))


def _choice_by_gathering(
    preferences: Preferences, masks: Bool[np.ndarray, "coalitions n"], coalition: Indices, player: Indices, k: int
) -> Int[np.ndarray, "pairs k"]:
    """The k best ranks among all members."""
    sizes = masks.sum(axis=1)
    row, member = np.nonzero(masks)
    members = np.full((len(masks), max(int(sizes.max()), k)), -1)
    members[row, _place_in_run(sizes)] = member
    others = members[coalition]
    ranks = preferences.rank[player[:, None], others].astype(np.int32)
    ranks[(others == -1) | (ranks >= preferences.friends[player, None])] = NOBODY
    best: NDArray[np.int32] = np.sort(np.partition(ranks, k - 1, axis=1)[:, :k], axis=1)
    return best


def _choice_by_scanning(
    preferences: Preferences, masks: Bool[np.ndarray, "coalitions n"], coalition: Indices, player: Indices, k: int
) -> Int[np.ndarray, "pairs k"]:
    """The ranks of the first k members met along the player's order, as far as its friends go."""
    choice = np.full((len(player), k), NOBODY, dtype=np.int32)
    met = np.zeros(len(player), dtype=np.int64)
    friends = preferences.friends[player]
    searching = np.flatnonzero(friends)
    start, depth = 0, 2 * k
    while len(searching):
        stop = min(start + min(depth, _LOOKED_UP // len(searching) + 1), len(preferences))
        hit = masks[coalition[searching, None], preferences.order[player[searching], start:stop]]
        row, column = np.nonzero(hit)
        counts = hit.sum(axis=1)
        place = met[searching][row] + _place_in_run(counts)
        first = (place < k) & (start + column < friends[searching][row])
        choice[searching[row[first]], place[first]] = start + column[first]
        met[searching] += counts
        searching = searching[(met[searching] < k) & (stop < friends[searching])]
        start, depth = stop, 2 * depth
    return choice


def _place_in_run(lengths: Indices) -> Indices:
    """0, 1, .. within each of consecutive runs of the given lengths."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _utility(
    preferences: Preferences, player: Indices, choice: Int[np.ndarray, "pairs k"]
) -> Float[np.ndarray, " pairs"]:
    """Summed in float64 and in order of rank: equal choice sets have equal utilities."""
    there = choice != NOBODY
    friends = preferences.order[player[:, None], np.where(there, choice, 0)]
    total = np.where(there, preferences.affinity[player[:, None], friends], 0).sum(axis=1, dtype=np.float64)
    utility: NDArray[np.float64] = total / choice.shape[1]
    return utility


def everyone_together(preferences: Preferences, alive: Indices, k: int) -> Views:
    """What the remaining players see in the coalition of them all: their true choice sets."""
    mask = np.zeros((1, len(preferences)), dtype=bool)
    mask[0, alive] = True
    return next(views(preferences, mask, k))


def standing(
    preferences: Preferences, groups: Sequence[Indices], k: int
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, "n k"], Int[np.ndarray, " n"]]:
    """Utility, choice set and size of each player's own group in a partition; players in no group stand alone."""
    n = len(preferences)
    utility, size = np.zeros(n), np.ones(n, dtype=np.int64)
    choice = np.full((n, k), NOBODY, dtype=np.int32)
    masks = np.zeros((len(groups), n), dtype=bool)
    for mask, group in zip(masks, groups, strict=True):
        mask[group] = True
        size[group] = len(group)
    for seen in views(preferences, masks, k):
        utility[seen.player], choice[seen.player] = seen.utility, seen.choice
    return utility, choice, size


def by_strength(preferences: Preferences, groups: Sequence[Indices], k: int) -> list[Indices]:
    """Groups by descending mean utility of their members, ties by first member; singletons last."""
    utility = standing(preferences, groups, k)[0]
    return sorted(groups, key=lambda group: (len(group) == 1, -utility[group].mean(), group[0]))


def top_cover(preferences: Preferences, k: int) -> list[list[Indices]]:
    """The exact top-covering algorithm: in each round every remaining player points to its true choice set.

    Gives the coalitions by round. No coalition at all blocks the partition that they are.
    """

    def wants(now: Preferences, alive: Indices) -> Bool[np.ndarray, "alive alive"]:
        seen = everyone_together(now, alive, k)
        row, column = np.nonzero(seen.choice != NOBODY)
        edges = np.zeros((len(now), len(now)), dtype=bool)
        edges[seen.player[row], now.order[seen.player[row], seen.choice[row, column]]] = True
        return edges[np.ix_(alive, alive)]

    return peel(preferences, wants)


def peel(preferences: Preferences, wants: Wants) -> list[list[Indices]]:
    """Remove the sink components of the digraph i -> the players that i wants, round by round, until nobody is left.

    A sink strongly connected component is a smallest set closed under `wants`. All of a round are removed at once: the
    removal of one does not touch what the members of another reach. Where less than half of the players remain the
    preferences are cut down to them, so that late rounds are cheap.
    """
    rounds = []
    affinity = preferences.affinity
    players = alive = np.arange(len(affinity))
    while len(alive):
        if 2 * len(alive) < len(players):
            players, alive = players[alive], np.arange(len(alive))
            preferences = Preferences.of(affinity[np.ix_(players, players)])
        sinks = sink_components(wants(preferences, alive))
        rounds.append([players[alive[sink]] for sink in sinks])
        alive = np.delete(alive, np.concatenate(sinks))
    return rounds


def sink_components(digraph: Bool[np.ndarray, "n n"]) -> list[Indices]:
    """The strongly connected components that no edge leaves, members ascending, by their first member."""
    count, label = connected_components(sparse.csr_array(digraph), directed=True, connection="strong")
    source, target = np.nonzero(digraph)
    left = np.zeros(count, dtype=bool)
    left[label[source][label[source] != label[target]]] = True
    components = [np.flatnonzero(label == component) for component in np.flatnonzero(~left)]
    return sorted(components, key=lambda component: int(component[0]))
