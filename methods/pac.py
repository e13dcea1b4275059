"""PAC-Top-Cover: a partition of a hedonic game learnt from sampled coalitions, and a certificate of what it is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaincinv

from coterie.methods.hedonic import NOBODY, Preferences, Views, everyone_together, peel, standing, views

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from numpy.typing import NDArray

    from coterie.methods.hedonic import Indices

_DRAWN = 2**24  # entries of membership masks (samples x players, one byte each) in memory at once


@dataclass(frozen=True)
class SizeLaw:
    """A distribution D of coalitions: a size uniform in ``low .. high`` (None: all), then a uniform subset of that size."""

    low: int
    high: int | None = None

    def bounds(self, n: int) -> tuple[int, int]:
        """The least and the largest size among n players."""
        low = min(self.low, n)
        return low, max(low, n if self.high is None else min(self.high, n))

    def draw(self, rng: np.random.Generator, n: int, samples: int) -> Iterator[Bool[np.ndarray, "chunk n"]]:
        """`samples` coalitions of n players as membership masks, by ascending size, in chunks of bounded memory.

        Subsets by Floyd's algorithm, one step for all coalitions of a chunk at once: for j = n - size .. n - 1 add a
        uniform player of 0 .. j, or j itself where that one is in already.
        """
        low, high = self.bounds(n)
        sizes = np.sort(rng.integers(low, high + 1, samples))
        for part in np.array_split(sizes, -(-samples * n // _DRAWN)):
            masks = np.zeros((len(part), n), dtype=bool)
            for step in range(part[-1]):
                rows = np.arange(np.searchsorted(part, step, side="right"), len(part))
                last = n - part[rows] + step
                pick = (rng.random(len(rows)) * (last + 1)).astype(np.int64)
                masks[rows, np.where(masks[rows, pick], last, pick)] = True
            yield masks


class BestSamples:
    """What the players of one round keep: utility and choice set of the best coalition seen, and the set B_i.

    B_i is the intersection of all coalitions seen with the best one's choice set, as packed bits (row i of `wanted`).
    It starts as {i}: being alone is a coalition that everybody has seen.
    """

    def __init__(self, n: int, k: int) -> None:
        self.utility = np.zeros(n)
        self.choice = np.full((n, k), NOBODY, dtype=np.int32)
        self.wanted = _packed(np.eye(n, dtype=bool))
        self.sampled = np.zeros(n, dtype=bool)

    def keep_best(self, seen: Views) -> None:
        """Step 1 of a round: a better coalition replaces what was kept, one with the same choice set cuts B_i down."""
        self.sampled[seen.player] = True
        peak = self.utility.copy()
        np.maximum.at(peak, seen.player, seen.utility)
        top = np.flatnonzero(seen.utility == peak[seen.player])
        top = top[np.lexsort((*seen.choice[top].T[::-1], seen.player[top]))]
        player, first = np.unique(seen.player[top], return_index=True)
        utility, choice = seen.utility[top[first]], seen.choice[top[first]]
        wins = (utility > self.utility[player]) | _precedes(choice, self.choice[player])
        player = player[wins]
        self.utility[player], self.choice[player] = utility[wins], choice[wins]
        self.wanted[player] = ~np.uint64(0)
        self.cut_down(seen)

    def cut_down(self, seen: Views) -> None:
        """Step 2: coalitions with the choice set of the best one cut B_i down."""
        same = np.flatnonzero((seen.choice == self.choice[seen.player]).all(axis=1))
        same = same[np.argsort(seen.player[same], kind="stable")]
        player, starts = np.unique(seen.player[same], return_index=True)
        if len(player):
            members = _packed(seen.masks)[seen.coalition[same]]
            self.wanted[player] &= np.bitwise_and.reduceat(members, starts, axis=0)

    def loose(self) -> Bool[np.ndarray, " n"]:
        """Players whose B_i holds more than themselves and the choice set: only those can further samples change."""
        needed = 1 + (self.choice != NOBODY).sum(axis=1)
        loose: NDArray[np.bool_] = np.bitwise_count(self.wanted).sum(axis=1) > needed
        return loose


def _packed(masks: Bool[np.ndarray, "rows n"]) -> NDArray[np.uint64]:
    """Masks as bits in 64-bit words, the last one filled up with zeros."""
    packed = np.packbits(masks, axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def _precedes(left: Int[np.ndarray, "rows k"], right: Int[np.ndarray, "rows k"]) -> Bool[np.ndarray, " rows"]:
    """Row by row: does left come before right in lexicographic order?"""
    rows, column = np.arange(len(left)), (left != right).argmax(axis=1)
    before: NDArray[np.bool_] = left[rows, column] < right[rows, column]
    return before


@dataclass
class Tally:
    """What PAC-Top-Cover used and how well its sampled choice sets agree with those of the exact algorithm."""

    rounds: int = 0
    samples: int = 0
    never_sampled: int = 0
    choice_sets: int = 0
    choice_sets_exact: int = 0


def pac_top_cover(
    preferences: Preferences, k: int, law: SizeLaw, samples: int, refinements: int, rng: np.random.Generator
) -> tuple[list[Indices], Tally]:
    """Partition the players by PAC-Top-Cover; D is `law` on the remaining players, drawn afresh in every batch.

    Round by round: (1) from a batch of `samples` coalitions each player keeps the best one that it is in; B_i is the
    intersection of those with the same choice set as the best, {i} for a player in none; (2) `refinements` more batches
    cut B_i down further; (3) the sink components of the digraph i -> B_i are coalitions and leave.

    Reference: Sliwinski & Zick (2017), Learning hedonic games, IJCAI, Algorithm 1.
    """
    tally = Tally()

    def batch(alive: Indices, n: int) -> Iterator[Bool[np.ndarray, "chunk n"]]:
        tally.samples += samples
        for drawn in law.draw(rng, len(alive), samples):
            masks = np.zeros((len(drawn), n), dtype=bool)
            masks[:, alive] = drawn
            yield masks

    def wants(now: Preferences, alive: Indices) -> Bool[np.ndarray, "alive alive"]:
        best = BestSamples(len(now), k)
        for masks in batch(alive, len(now)):
            for seen in views(now, masks, k):
                best.keep_best(seen)
        for _ in range(refinements):
            loose = best.loose()
            if not loose.any():  # further samples cannot change anything
                break
            for masks in batch(alive, len(now)):
                for seen in views(now, masks, k, of=loose):
                    best.cut_down(seen)
        _count(tally, best, everyone_together(now, alive, k))
        return np.unpackbits(best.wanted[alive].view(np.uint8), axis=1, count=len(now)).view(bool)[:, alive]

    rounds = peel(preferences, wants)
    return [group for sinks in rounds for group in sinks], tally


def _count(tally: Tally, best: BestSamples, truth: Views) -> None:
    tally.rounds += 1
    tally.never_sampled += int((~best.sampled[truth.player]).sum())
    tally.choice_sets += len(truth.player)
    tally.choice_sets_exact += int((truth.choice == best.choice[truth.player]).all(axis=1).sum())


def certificate(
    preferences: Preferences, groups: Sequence[Indices], k: int, law: SizeLaw, samples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """How often a fresh coalition of D blocks the partition, with a Clopper-Pearson 95 % upper bound.

    A coalition blocks where every member strictly prefers it to its own group: by utility, or by size where the choice
    set is the same.
    """
    n = len(preferences)
    utility, choice, size = standing(preferences, groups, k)
    blocking = 0
    for masks in law.draw(rng, n, samples):
        for seen in views(preferences, masks, k):
            smaller = seen.masks.sum(axis=1)[seen.coalition] < size[seen.player]
            same = (seen.choice == choice[seen.player]).all(axis=1)
            prefers = (seen.utility > utility[seen.player]) | (same & smaller)
            against = np.bincount(seen.coalition[~prefers], minlength=len(seen.masks))
            blocking += int((against == 0).sum())
    low, high = law.bounds(n)
    return {
        "distribution": f"size uniform in {low}..{high}, then a uniform subset of {n} players",
        "draws": samples,
        "blocking": blocking,
        "rate": blocking / samples,
        "upper_95": 1.0 if blocking == samples else float(betaincinv(blocking + 1, samples - blocking, 0.95)),
    }
