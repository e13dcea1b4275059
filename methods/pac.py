"""PAC-Top-Cover: a partition of a hedonic game learnt from sampled coalitions, and a certificate of its stability."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest

from coterie.methods.hedonic import (
    NOBODY,
    Preferences,
    Views,
    digraph,
    everyone_together,
    peel,
    players_of,
    standing,
    views,
)

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from numpy.typing import NDArray
    from scipy import sparse

    from coterie.methods.hedonic import Indices

_DRAWN = 2**22  # entries of the membership masks (samples x players) in one chunk
_AT_ONCE = 64  # samples per chunk; between chunks, players that are done drop out
_FEW = 64  # subsets up to this size are drawn member by member
_ROWS = 1024  # sets B_i unpacked at a time
_FIRST = (4, 64)  # members checked first: in nearly every coalition one of them prefers its own group


@dataclass(frozen=True)
class SizeLaw:
    """A distribution D of coalitions: a uniform size, then a uniform subset of that size."""

    low: int
    """Smallest size."""
    high: int | None = None
    """Largest size; None for all players."""

    def bounds(self, n: int) -> tuple[int, int]:
        """The smallest and the largest size among n players."""
        low = min(self.low, n)
        return low, max(low, n if self.high is None else min(self.high, n))

    def draw(self, rng: np.random.Generator, n: int, samples: int) -> Iterator[Bool[np.ndarray, "chunk n"]]:
        """Draw `samples` coalitions of n players as membership masks, in chunks of bounded memory."""
        low, high = self.bounds(n)
        while samples > 0:
            sizes = np.sort(rng.integers(low, high + 1, min(samples, _AT_ONCE, max(1, _DRAWN // n))))
            yield _subsets(rng, n, sizes)
            samples -= len(sizes)


def _subsets(rng: np.random.Generator, n: int, sizes: Indices) -> Bool[np.ndarray, "sizes n"]:
    """Draw uniform subsets of the given ascending sizes.

    Small ones come from Floyd's algorithm, all of them in step: for j = n - size .. n - 1 add a uniform player of 0 .. j,
    or j itself if that player is already in. Large ones hold the players with the smallest of n random numbers, drawn
    again if the last of these ties with another.
    """
    masks = np.zeros((len(sizes), n), dtype=bool)
    few = int(np.searchsorted(sizes, _FEW, side="right"))
    for step in range(int(sizes[:few].max(initial=0))):
        rows = np.arange(np.searchsorted(sizes[:few], step, side="right"), few)
        last = n - sizes[rows] + step
        pick = (rng.random(len(rows)) * (last + 1)).astype(np.int64)
        masks[rows, np.where(masks[rows, pick], last, pick)] = True
    left = np.arange(few, len(sizes))
    while len(left):
        numbers = rng.integers(0, 2**32, (len(left), n), dtype=np.uint32)
        cuts = [np.partition(row, size - 1)[size - 1] for row, size in zip(numbers, sizes[left], strict=True)]
        masks[left] = numbers <= np.array(cuts)[:, None]
        left = left[masks[left].sum(axis=1) != sizes[left]]
    return masks


def paper_samples(n: int, epsilon: float, delta: float) -> int:
    """Samples per batch that make the partition epsilon-PAC stable with probability 1 - delta, at n batches per round.

    `ceil(2 n^2 / epsilon * log(2 n^3 / delta))`, Sliwinski & Zick (2017), for samples from one D, of which those that consist
    of remaining players are kept.
    """
    return int(np.ceil(2 * n**2 / epsilon * np.log(2 * n**3 / delta)))


class BestSamples:
    """What each player keeps during a round: utility and choice set of the best coalition sampled, and the set B_i.

    B_i is the intersection of all sampled coalitions with the best one's choice set, as packed bits (row i of `wanted`).
    It starts as {i}, as if every player had sampled the coalition of itself alone.
    """

    def __init__(self, n: int, k: int) -> None:
        self.utility = np.zeros(n)
        self.choice = np.full((n, k), NOBODY, dtype=np.int64)
        self.wanted = _packed(np.eye(n, dtype=bool))
        self.sampled = np.zeros(n, dtype=bool)

    def keep_best(self, seen: Views) -> None:
        """Step 1 of a round: a better coalition replaces the one kept, and one with the same choice set shrinks B_i."""
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
        """Step 2: shrink B_i to its members in each coalition with the best one's choice set."""
        same = np.flatnonzero((seen.choice == self.choice[seen.player]).all(axis=1))
        same = same[np.argsort(seen.player[same], kind="stable")]  # keeps a player's B_i in the cache
        if len(same):
            _intersect(self.wanted, seen.player[same], _packed(seen.masks), seen.coalition[same])

    def loose(self) -> Bool[np.ndarray, " n"]:
        """Players whose B_i holds more than themselves and their choice set: further samples may shrink it."""
        needed = 1 + (self.choice != NOBODY).sum(axis=1)
        loose: NDArray[np.bool_] = np.bitwise_count(self.wanted).sum(axis=1) > needed
        return loose

    def without(self, alive: Indices) -> None:
        """Continue among the players `alive`; a player that lost a member of its choice set starts again."""
        n = len(self.utility)
        there = np.zeros(n, dtype=bool)
        there[alive] = True
        chosen = self.choice != NOBODY
        lost = (chosen & ~there[np.where(chosen, players_of(self.choice), 0)]).any(axis=1)
        self.utility[lost], self.choice[lost], self.sampled[lost] = 0, NOBODY, False
        self.wanted &= _packed(there[None])
        self.wanted[lost] = _packed(np.eye(n, dtype=bool)[lost]) if lost.any() else 0

    def edges(self, alive: Indices) -> sparse.csr_array:
        """The digraph i -> B_i among the players `alive`."""
        sources, targets = [], []
        for start in range(0, len(alive), _ROWS):
            rows = self.wanted[alive[start : start + _ROWS]].view(np.uint8)
            row, player = np.nonzero(np.unpackbits(rows, axis=1, count=len(self.utility)))
            sources.append(row + start)
            targets.append(np.searchsorted(alive, player))
        return digraph(np.concatenate(sources), np.concatenate(targets), len(alive))


def _intersect(wanted: NDArray[np.uint64], player: Indices, packed: NDArray[np.uint64], coalition: Indices) -> None:
    """`wanted[player[p]] &= packed[coalition[p]]` for every p, in place."""
    from coterie.methods.fused import intersect

    intersect(wanted, player, packed, coalition)


def _packed(masks: Bool[np.ndarray, "rows n"]) -> NDArray[np.uint64]:
    """Masks as bits in 64-bit words, the last word padded with zeros."""
    packed = np.packbits(masks, axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def _precedes(left: Int[np.ndarray, "rows k"], right: Int[np.ndarray, "rows k"]) -> Bool[np.ndarray, " rows"]:
    """For each row, whether left precedes right in lexicographic order."""
    rows, column = np.arange(len(left)), (left != right).argmax(axis=1)
    before: NDArray[np.bool_] = left[rows, column] < right[rows, column]
    return before


@dataclass
class Tally:
    """What PAC-Top-Cover used, and how well its sampled choice sets agree with those of the exact algorithm."""

    rounds: int = 0
    """Rounds until every player was in a coalition."""
    samples: int = 0
    """Coalitions drawn in all batches."""
    never_sampled: int = 0
    """Players in no sample of their round, over all rounds."""
    choice_sets: int = 0
    """Choice sets learnt: one per remaining player and round."""
    choice_sets_exact: int = 0
    """Number of those that equal the choice set among all remaining players."""


def pac_top_cover(
    preferences: Preferences,
    k: int,
    law: SizeLaw,
    samples: int,
    refinements: int | None,
    rng: np.random.Generator,
    as_in_paper: bool = False,
) -> tuple[list[Indices], Tally]:
    """Partition the players by PAC-Top-Cover.

    Each round has three steps: (1) from a batch of `samples` coalitions every player keeps the best one that contains it;
    B_i is the intersection of those with the same choice set as the best, or {i} for a player in no sample; (2)
    `refinements` more batches (None: one per remaining player) shrink B_i further; (3) the sink components of the digraph
    i -> B_i become coalitions and leave.

    With `as_in_paper` every batch is drawn from D = `law` on all players, samples that consist of remaining players are
    kept, and every round starts from scratch. Otherwise D is `law` on the remaining players, and a player that lost no
    member of its choice set keeps its best sample and B_i: without the players that left, that sample is still a coalition
    with this choice set.

    Samples that cannot change anything are neither drawn nor examined: a player is done once B_i consists of itself and
    its choice set and that is its choice set among all remaining players, which no coalition can improve on.

    Reference: Sliwinski & Zick (2017), Learning hedonic games, IJCAI, Algorithm 1.
    """
    learner = _Learner(k, law, samples, refinements, rng, as_in_paper, len(preferences))
    rounds = peel(preferences, learner.wants)
    return [group for sinks in rounds for group in sinks], learner.tally


class _Learner:
    """The state of one run of PAC-Top-Cover between its rounds."""

    def __init__(
        self,
        k: int,
        law: SizeLaw,
        samples: int,
        refinements: int | None,
        rng: np.random.Generator,
        as_in_paper: bool,
        n: int,
    ) -> None:
        self.tally = Tally()
        self._k, self._law, self._samples, self._refinements, self._rng = k, law, samples, refinements, rng
        self._as_in_paper, self._n_all = as_in_paper, n
        self._best = BestSamples(n, k)

    def wants(self, now: Preferences, alive: Indices) -> sparse.csr_array:
        """One round: the digraph i -> B_i among the remaining players `alive`."""
        if self._as_in_paper or len(now) != len(self._best.utility):
            self._best = BestSamples(len(now), self._k)
        best = self._best
        best.without(alive)
        truth = everyone_together(now, alive, self._k)
        top = best.choice.copy()
        top[truth.player] = truth.choice

        def undone() -> Bool[np.ndarray, " n"]:
            return best.loose() | (best.choice != top).any(axis=1)

        _until_done(self._batch(alive, len(now)), undone, now, self._k, best.keep_best)
        for _ in range(len(alive) if self._refinements is None else self._refinements):
            if not best.loose().any():
                break
            _until_done(self._batch(alive, len(now)), best.loose, now, self._k, best.cut_down)
        _count(self.tally, best, truth)
        return best.edges(alive)

    def _batch(self, alive: Indices, n: int) -> Iterator[Bool[np.ndarray, "chunk n"]]:
        """The samples of one batch that consist of players in `alive`, as masks of n players, in chunks."""
        for drawn in self._law.draw(self._rng, self._n_all if self._as_in_paper else len(alive), self._samples):
            self.tally.samples += len(drawn)
            inside = ~drawn[:, len(alive) :].any(axis=1)  # always true if only remaining players were drawn from
            kept = drawn[inside, : len(alive)]
            masks = np.zeros((len(kept), n), dtype=bool)
            masks[:, alive] = kept
            yield masks


def _until_done(
    chunks: Iterator[Bool[np.ndarray, "chunk n"]],
    undone: Callable[[], Bool[np.ndarray, " n"]],
    preferences: Preferences,
    k: int,
    take: Callable[[Views], None],
) -> None:
    """Show the chunks of a batch to the players that are not done, until all of them are."""
    while (players := undone()).any() and (masks := next(chunks, None)) is not None:
        for seen in views(preferences, masks, k, of=players):
            take(seen)


def _count(tally: Tally, best: BestSamples, truth: Views) -> None:
    tally.rounds += 1
    tally.never_sampled += int((~best.sampled[truth.player]).sum())
    tally.choice_sets += len(truth.player)
    tally.choice_sets_exact += int((truth.choice == best.choice[truth.player]).all(axis=1).sum())


def certificate(
    preferences: Preferences, groups: Sequence[Indices], k: int, law: SizeLaw, samples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Measure how often a fresh coalition from D blocks the partition, with a one-sided 95 % Clopper-Pearson upper bound.

    A coalition blocks if every member strictly prefers it to its own group: by utility, or by size if the choice set is
    the same.
    """
    n = len(preferences)
    own = standing(preferences, groups, k)
    blocking = sum(len(_blocking(preferences, masks, k, own)) for masks in law.draw(rng, n, samples))
    bound = binomtest(blocking, samples, alternative="less").proportion_ci(0.95, method="exact")
    low, high = law.bounds(n)
    return {
        "distribution": f"size uniform in {low}..{high}, then a uniform subset of {n} players",
        "draws": samples,
        "blocking": blocking,
        "rate": blocking / samples,
        "upper_95": float(bound.high),
    }


def _blocking(
    preferences: Preferences,
    masks: Bool[np.ndarray, "coalitions n"],
    k: int,
    own: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]],
) -> Bool[np.ndarray, "blocking n"]:
    """The coalitions that every member strictly prefers to its own group; a few members are checked before all of them."""
    utility, choice, size = own
    for first in (*_FIRST, len(preferences)):
        stay = []
        for seen in views(preferences, masks, k, of=masks.cumsum(axis=1, dtype=np.int32) <= first):
            smaller = seen.masks.sum(axis=1)[seen.coalition] < size[seen.player]
            same = (seen.choice == choice[seen.player]).all(axis=1)
            prefers = (seen.utility > utility[seen.player]) | (same & smaller)
            against = np.bincount(seen.coalition[~prefers], minlength=len(seen.masks))
            stay.append(against == 0)
        masks = masks[np.concatenate(stay)] if stay else masks
    return masks
