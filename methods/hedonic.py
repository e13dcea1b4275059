"""Hedonic games on an affinity matrix: choice sets, utilities, and the exact top-covering algorithm.

A player i values a coalition S by its k best friends in it, friends being players of positive affinity:

    Ch(i, S) = the at most k players j of S with the largest phi_ij > 0   (ties of phi: the lower index)
    u_i(S)   = 1/k * sum of phi_ij over j in Ch(i, S)                     (so being alone is worth 0)

and of two coalitions with the same choice set it prefers the smaller. These preferences are top-responsive, as the
algorithms and their guarantees require: i prefers no subset of S to Ch(i, S) together with i.

Deviations from the paper: its utility is the mean of phi over the k best others whatever their sign, or over all others if
they are fewer than k. The two agree if S holds k friends of i. Otherwise the paper's utility is not top-responsive: with a
mean over fewer friends, a pair beats every larger coalition with the same best friend, and a player would rather be alone
than count enemies among its best.

A choice set is stored as the keys of its members, best first, padded with NOBODY. The key of friend j for player i is one
integer: the bits of phi_ij, subtracted from those of infinity, followed by j. So a smaller key is a better friend, equal
choice sets are equal rows, and the lexicographic order of rows breaks ties of utility in the same way for every order of the
draws.

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
    Wants = Callable[["Preferences", Indices], sparse.csr_array]

NOBODY = np.iinfo(np.int64).max
BLOCK = 2**21  # entries of an array (coalitions x players, or members compared) in memory at a time
_LISTED = 512  # best friends listed in order; to find more, a player compares all members of the coalition
_INFINITE = 0x7F800000  # bits of float32 infinity, above those of every affinity
_PLAYER = 2**32 - 1


def keys_of(affinity: Float[np.ndarray, "rows n"], players: Int[np.ndarray, "*rows n"]) -> Int[np.ndarray, "rows n"]:
    """Return the keys of `players` as friends with these affinities: NOBODY for those that are not friends."""
    bits = np.ascontiguousarray(affinity, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(affinity > 0, (_INFINITE - bits) << 32 | players, NOBODY)


def players_of(keys: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
    """Return the players that keys belong to; NOBODY yields an index that is not a player."""
    return keys & _PLAYER


@dataclass(frozen=True)
class Preferences:
    """The preferences of every player over the others."""

    affinity: Float[np.ndarray, "n n"]
    """Affinity of each player (row) to each other (column)."""
    best: Int[np.ndarray, "n listed"]
    """Keys of each player's best friends, ascending, then NOBODY; only the best ones if there are more than columns."""

    @classmethod
    def of(cls, affinity: Float[np.ndarray, "n n"]) -> Preferences:
        """Rank friends by descending affinity, ties by index. Raises `ValueError` if the diagonal is not 0."""
        n = len(affinity)
        if np.diagonal(affinity).any():
            raise ValueError("affinity: expected a diagonal of 0, got other values; fix: np.fill_diagonal(affinity, 0)")
        listed = min(n, _LISTED)
        best = np.empty((n, listed), dtype=np.int64)
        for start in range(0, n, max(1, BLOCK // n)):
            rows = slice(start, start + max(1, BLOCK // n))
            keys = keys_of(affinity[rows], np.arange(n))
            keys.partition(listed - 1, axis=1)
            best[rows] = np.sort(keys[:, :listed], axis=1)
        return cls(affinity, best)

    def __len__(self) -> int:
        return len(self.affinity)


@dataclass(frozen=True)
class Views:
    """Coalitions as their members see them: one row per pair of a coalition and a member."""

    masks: Bool[np.ndarray, "coalitions n"]
    """The coalitions as membership masks."""
    coalition: Int[np.ndarray, " pairs"]
    """Row in `masks` of each pair's coalition."""
    player: Int[np.ndarray, " pairs"]
    """The member."""
    choice: Int[np.ndarray, "pairs k"]
    """Keys of the member's choice set in the coalition."""
    utility: Float[np.ndarray, " pairs"]
    """The member's utility of the coalition."""


def views(
    preferences: Preferences,
    masks: Bool[np.ndarray, "coalitions n"],
    k: int,
    of: Bool[np.ndarray, "*coalitions n"] | None = None,
) -> Iterator[Views]:
    """Yield choice sets and utilities of the members (only those in `of`, if given) of all coalitions, in bounded memory."""
    members = masks if of is None else masks & of
    cost = np.cumsum(members.sum(axis=1) * 2 * k + len(preferences))
    start = 0
    while start < len(masks):
        spent = cost[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(cost, spent + BLOCK, side="right")))
        block = masks[start:stop]
        coalition, player = np.nonzero(members[start:stop])
        size = int(block.sum(axis=1).max())
        # A member compares all the others, or goes down its list until it has met k of them: k n / size on average.
        look = _choice_by_gathering if size * size <= 2 * k * len(preferences) else _choice_by_scanning
        choice = look(preferences, block, coalition, player, k)
        yield Views(block, coalition, player, choice, _utility(choice))
        start = stop


def _choice_by_gathering(
    preferences: Preferences, masks: Bool[np.ndarray, "coalitions n"], coalition: Indices, player: Indices, k: int
) -> Int[np.ndarray, "pairs k"]:
    """The k best keys among all members."""
    sizes = masks.sum(axis=1)
    row, member = np.nonzero(masks)
    members = np.full((len(masks), max(int(sizes.max(initial=0)), k)), -1)
    members[row, _place_in_run(sizes)] = member
    choice = np.empty((len(player), k), dtype=np.int64)
    step = max(1, BLOCK // members.shape[1])
    for start in range(0, len(player), step):
        pairs = slice(start, start + step)
        others = members[coalition[pairs]]
        keys = keys_of(preferences.affinity[player[pairs, None], others], others)
        keys[others == -1] = NOBODY
        keys.partition(k - 1, axis=1)
        choice[pairs] = np.sort(keys[:, :k], axis=1)
    return choice


def _choice_by_scanning(
    preferences: Preferences, masks: Bool[np.ndarray, "coalitions n"], coalition: Indices, player: Indices, k: int
) -> Int[np.ndarray, "pairs k"]:
    """The first k members along the player's list of best friends; at the end of the list, compare all members."""
    choice = np.full((len(player), k), NOBODY, dtype=np.int64)
    met = np.zeros(len(player), dtype=np.int64)
    searching = np.arange(len(player))
    listed, start, depth = preferences.best.shape[1], 0, 2 * k
    while len(searching) and start < listed:
        stop = min(start + min(depth, BLOCK // len(searching) + 1), listed)
        keys = preferences.best[player[searching], start:stop]
        there = keys != NOBODY
        hit = masks[coalition[searching, None], np.where(there, players_of(keys), 0)] & there
        row, column = np.nonzero(hit)
        counts = hit.sum(axis=1)
        place = met[searching[row]] + _place_in_run(counts)
        first = place < k
        choice[searching[row[first]], place[first]] = keys[row[first], column[first]]
        met[searching] += counts
        searching = searching[(met[searching] < k) & there[:, -1]]
        start, depth = stop, 2 * depth
    if len(searching) and listed < len(preferences):
        kept, inverse = np.unique(coalition[searching], return_inverse=True)
        choice[searching] = _choice_by_gathering(preferences, masks[kept], inverse, player[searching], k)
    return choice


def _place_in_run(lengths: Indices) -> Indices:
    """0, 1, 2, ... within each of consecutive runs of the given lengths."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _utility(choice: Int[np.ndarray, "pairs k"]) -> Float[np.ndarray, " pairs"]:
    """Mean affinity, read from the keys: in float64 and in order, so that equal choice sets have equal utilities."""
    bits = np.where(choice == NOBODY, 0, _INFINITE - (choice >> 32)).astype(np.int32)
    utility: NDArray[np.float64] = bits.view(np.float32).sum(axis=1, dtype=np.float64) / choice.shape[1]
    return utility


def everyone_together(preferences: Preferences, alive: Indices, k: int) -> Views:
    """Return the views of the coalition of all remaining players: their true choice sets."""
    mask = np.zeros((1, len(preferences)), dtype=bool)
    mask[0, alive] = True
    return next(views(preferences, mask, k))


def standing(
    preferences: Preferences, groups: Sequence[Indices], k: int
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, "n k"], Int[np.ndarray, " n"]]:
    """Return utility, choice set and size of each player's own group in a partition; players in no group are alone."""
    n = len(preferences)
    utility, size = np.zeros(n), np.ones(n, dtype=np.int64)
    choice = np.full((n, k), NOBODY, dtype=np.int64)
    together = [group for group in groups if len(group) > 1]
    step = max(1, BLOCK // n)
    for part in (together[start : start + step] for start in range(0, len(together), step)):
        masks = np.zeros((len(part), n), dtype=bool)
        for mask, group in zip(masks, part, strict=True):
            mask[group] = True
            size[group] = len(group)
        for seen in views(preferences, masks, k):
            utility[seen.player], choice[seen.player] = seen.utility, seen.choice
    return utility, choice, size


def by_strength(preferences: Preferences, groups: Sequence[Indices], k: int) -> list[Indices]:
    """Sort groups by descending mean utility of their members, ties by first member; singletons last."""
    utility = standing(preferences, groups, k)[0]
    return sorted(groups, key=lambda group: (len(group) == 1, -utility[group].mean(), group[0]))


def top_cover(preferences: Preferences, k: int) -> list[list[Indices]]:
    """Partition the players by the exact top-covering algorithm; every remaining player points to its true choice set.

    Returns the coalitions of each round. No coalition blocks the partition that they form.
    """

    def wants(now: Preferences, alive: Indices) -> sparse.csr_array:
        seen = everyone_together(now, alive, k)
        row, column = np.nonzero(seen.choice != NOBODY)
        return digraph(row, np.searchsorted(alive, players_of(seen.choice[row, column])), len(alive))

    return peel(preferences, wants)


def digraph(source: Indices, target: Indices, n: int) -> sparse.csr_array:
    """Return the digraph of the edges source -> target among n players."""
    return sparse.csr_array((np.ones(len(source), dtype=np.int8), (source, target)), shape=(n, n))


def peel(preferences: Preferences, wants: Wants) -> list[list[Indices]]:
    """Remove the sink components of the digraph i -> the players that i wants, round by round, until nobody is left.

    A sink strongly connected component is a smallest set closed under `wants`. All components of a round leave together,
    because the removal of one does not affect what the members of another reach. Once less than half of the players remain,
    the preferences shrink to them, so that late rounds are cheap.
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


def sink_components(edges: sparse.csr_array) -> list[Indices]:
    """Return the strongly connected components that no edge leaves, by first member, with members ascending."""
    count, label = connected_components(edges, directed=True, connection="strong")
    source, target = edges.nonzero()
    left = np.zeros(count, dtype=bool)
    left[label[source][label[source] != label[target]]] = True
    by_label = np.argsort(label, kind="stable")
    components = np.split(by_label, np.cumsum(np.bincount(label))[:-1])
    return sorted((components[c] for c in np.flatnonzero(~left)), key=lambda component: int(component[0]))
