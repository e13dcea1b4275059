"""Large games: estimate blocks of players, refine the important ones, and settle the top players by intervals.

One permutation of n = 14,336 neurons costs 14,337 evaluations. A game of blocks has few players: a block is in a coalition
with all of its members or with none of them. Splitting a block keeps all evidence valid, because every earlier coalition is
also a union of the smaller blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from scipy.stats import t as student

from coterie.methods.msa.estimate import Estimate
from coterie.methods.msa.evidence import Evidence
from coterie.methods.msa.kriging import kriging
from coterie.methods.msa.sampling import draw_pairs
from coterie.tasks.game import Game

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


@final
class BlockGame(Game):
    """The quotient game, whose players are blocks: `blocks[i]` is the block of player i. The game counts its evaluations."""

    def __init__(self, game: Game, blocks: Int[np.ndarray, " players"]) -> None:
        self._game, self._blocks = game, blocks
        self.n_players, self.n_outputs = int(blocks.max()) + 1, game.n_outputs
        self.capabilities, self.meter = game.capabilities, game.meter

    def ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        return self._game.ablate(masks[:, self._blocks])

    def _ablate(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m outputs"]:
        return self._game._ablate(masks[:, self._blocks])


def block_values(game: Game, budget: int, rng: np.random.Generator, rounds: int = 4) -> Estimate:
    """Estimate the modes of all players of a large game in `budget` evaluations, by splitting important blocks of players.

    The first blocks are random, of equal size, and as many as one round's share of the budget can tell apart (a third of
    it). Each round estimates the modes of the blocks by kriging on all evidence so far and halves those of largest
    magnitude, at most a sixth of the share. The members of a final block share its mode equally, as in Owen's value for
    blocks whose inside is unknown, so there are no standard errors.
    """
    share = max(2, budget // rounds)
    blocks = rng.permutation(game.n_players) % min(game.n_players, max(1, share // 3))
    evidence = Evidence(BlockGame(game, blocks), budget)
    for number in range(1, rounds):
        draw_pairs(evidence, budget * number // rounds - len(evidence), rng)
        blocks, parent = _halved(blocks, kriging(evidence).magnitudes, max(1, share // 6), rng)
        evidence = evidence.split(BlockGame(game, blocks), parent)
    draw_pairs(evidence, budget - len(evidence), rng)
    estimate = kriging(evidence)
    size = np.bincount(blocks)
    name = f"kriging of {len(size)} blocks of 1 to {size.max()} players"
    return Estimate((estimate.modes / size[:, None])[blocks], None, name, len(evidence))


def _halved(
    blocks: Int[np.ndarray, " players"], magnitude: Float[np.ndarray, " blocks"], most: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " players"], Int[np.ndarray, " new_blocks"]]:
    """Halve the blocks of largest magnitude at random: the new block of each player, and the old block of each new one."""
    size = np.bincount(blocks)
    order = np.argsort(-np.where(size > 1, magnitude, -1.0), kind="stable")
    chosen = [int(block) for block in order[:most] if size[block] > 1]
    after, parent = blocks.copy(), list(range(len(size)))
    for block in chosen:
        members = rng.permutation(np.flatnonzero(blocks == block))
        after[members[: len(members) // 2]] = len(parent)
        parent.append(block)
    return after, np.array(parent)


@dataclass(frozen=True)
class Top:
    """The k candidates with the largest absolute Shapley values of the mean output, as far as the budget settled them."""

    candidates: tuple[int, ...]
    """The players that were compared."""
    certain: tuple[int, ...]
    """Players whose interval is above those of all but k - 1 candidates."""
    low: tuple[float, ...]
    """Lower ends of simultaneous intervals of the (signed) values of `candidates`."""
    high: tuple[float, ...]
    """Upper ends of these intervals."""
    evaluations: int
    """Evaluations spent."""
    settled: bool
    """Whether `certain` has k members."""


def settle_top(
    evidence: Evidence, candidates: Int[np.ndarray, " c"], k: int, rng: np.random.Generator, alpha: float = 0.05
) -> Top:
    """Find the top k candidates by successive elimination, sampling marginal contributions in shared contexts.

    A round draws a random order and a position, and samples for each undecided candidate its marginal contribution to the
    players before that position, and to all the others (antithetic): 2 evaluations per candidate and 4 shared ones.
    Student intervals, Bonferroni-corrected over candidates and looks (at 8, 16, 32, ... rounds), settle candidates that are
    clearly in or out. Sampling stops when k are in or the budget is spent. This follows Neuron Shapley (Ghorbani & Zou 2020),
    with shared contexts.
    """
    count, start = len(candidates), len(evidence)
    sums, squares, rounds = np.zeros(count), np.zeros(count), np.zeros(count)
    undecided, certain, look = np.ones(count, dtype=bool), np.zeros(count, dtype=bool), 8
    low, high = np.full(count, -np.inf), np.full(count, np.inf)
    k = min(k, count)
    while undecided.any() and evidence.left >= 2 * int(undecided.sum()) + 4:
        sample = _marginals(evidence, candidates[undecided], rng)
        sums[undecided] += sample
        squares[undecided] += sample**2
        rounds[undecided] += 1
        if rounds.max() < look:
            continue
        mean = sums / rounds
        deviation = np.sqrt(np.maximum(squares / rounds - mean**2, 0) / (rounds - 1))
        # The j-th look may err with probability alpha / (j^2 pi^2 / 6), which sums to alpha over all looks.
        share = alpha / (count * (np.log2(look / 8) + 1) ** 2 * np.pi**2 / 6)
        width = student.isf(share / 2, rounds - 1) * deviation
        low, high = np.where(undecided, mean - width, low), np.where(undecided, mean + width, high)
        nearest = np.where(low * high <= 0, 0.0, np.minimum(np.abs(low), np.abs(high)))
        farthest = np.maximum(np.abs(low), np.abs(high))
        above = (nearest[:, None] > farthest[None, :]).sum(axis=1)  # how many candidates each one certainly exceeds
        below = (farthest[:, None] < nearest[None, :]).sum(axis=1)
        certain = above >= count - k
        undecided &= ~certain & (below < k)
        look *= 2
    return Top(
        tuple(int(i) for i in candidates),
        tuple(int(i) for i in candidates[certain]),
        tuple(low.tolist()),
        tuple(high.tolist()),
        len(evidence) - start,
        int(certain.sum()) == k,
    )


def _marginals(evidence: Evidence, players: Int[np.ndarray, " c"], rng: np.random.Generator) -> Float[np.ndarray, " c"]:
    """Mean over outputs of v(T + i) - v(T), with T a random prefix of a random order without i, and the same for the rest."""
    n, order, rows = evidence.n_players, rng.permutation(evidence.n_players), np.arange(len(players))
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    size = int(rng.integers(n))
    before = place[None, :] < size + (place[players] < size)[:, None]
    with_i, without = before.copy(), before.copy()
    with_i[rows, players], without[rows, players] = True, False
    coalitions = np.concatenate([with_i, without, ~with_i, ~without])
    one, other, rest, more = evidence.values(evidence.evaluate(coalitions)).mean(axis=1).reshape(4, -1)
    result: Float[np.ndarray, " c"] = (one - other + more - rest) / 2
    return result
