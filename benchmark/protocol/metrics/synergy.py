"""Synergy on held-out queries: how far a coalition's joint effect differs from what its parts do separately.

Reported in thousandths of a standard deviation of the unablated scores.

Notation: s(x; A) is the score of pair x when the set A is ablated, and f(A) the mean over pairs x of s(x; {}) - s(x; A), in
standard deviations of s(x; {}); positive f means that ablating A lowers the scores. The synergy of a pair is
psi(i, j) = f({i, j}) - f({i}) - f({j}). Up to the unit it is minus the paper's l - l_-i - l_-j + l_-ij (Chowdhury et al.,
Hedonic Neurons, arXiv 2509.23684): positive psi means that ablating both lowers the score more than the two ablations do
separately.

The `_margin` metrics read f from the margin between better and worse candidates of a query instead of from the scores
(`JudgedGame.effects`), so that a shift shared by all candidates, which changes no ranking, does not count. Positive f there
means that ablating A brings relevant and non-relevant documents closer together.

The noise floor is the same computation on sets whose synergy is exactly zero: every set against itself, evaluated a second
time in other batches (`Bench.noise_floor`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from coterie.benchmark.protocol.bench import Bench, Evaluated, Statistic
from coterie.benchmark.protocol.judged_game import Group, JudgedGame, View
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric

UNIT = "0.001 sd of scores"
_SCALE = 1000.0


def pair_synergy(game: JudgedGame, pairs: Sequence[Group], view: View = "score") -> np.ndarray:
    """The synergy psi of each pair, shape (pairs, queries)."""
    singles = [(i,) for pair in pairs for i in pair]
    game.prepare([*pairs, *singles])
    separate = game.effects(singles, view).reshape(len(pairs), 2, -1).sum(1)
    return game.effects(pairs, view) - separate


def pair(game: JudgedGame, coalition: Evaluated, view: View) -> np.ndarray:
    """Mean of psi over the coalition's sampled pairs, shape (queries,)."""
    mean: np.ndarray = pair_synergy(game, coalition.pairs, view).mean(0)
    return mean


def excess(game: JudgedGame, coalition: Evaluated, view: View) -> np.ndarray:
    """f(C) - f(C without k), shape (queries,), for the sampled k whose f(C without k) has the largest mean over queries."""
    without = game.effects(coalition.without_one, view)
    return game.effects([coalition.members], view)[0] - without[game.mean(without, view).argmax()]


def joint(game: JudgedGame, coalition: Evaluated, view: View) -> np.ndarray:
    """f(C) - sum over members i of f({i}), shape (queries,)."""
    singles = game.effects([(i,) for i in coalition.members], view)
    return game.effects([coalition.members], view)[0] - singles.sum(0)


def ablations(statistic: Statistic, coalition: Evaluated) -> list[Group]:
    """The sets that a statistic of a coalition ablates, so that they can be evaluated in one batch."""
    singles = [(i,) for i in coalition.members]
    if statistic is pair:
        return [*coalition.pairs, *((i,) for pair_ in coalition.pairs for i in pair_)]
    return [coalition.members, *(coalition.without_one if statistic is excess else singles)]


class _Synergy(Metric):
    """A statistic of each evaluated coalition, minus its mean over the controls."""

    unit = UNIT
    view: ClassVar[View] = "score"
    on_discovery: ClassVar[bool] = False  # whether it is also measured on the queries that methods have seen

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        statistic, seen = self.statistic(), bench.discovery if self.on_discovery else None
        return [
            Contribution(
                "heldout",
                _SCALE * self.mean(bench.heldout, answer.evaluated),
                _SCALE * self.control(bench, answer.evaluated),
                bench.heldout.weight(self.view),
                noise_floor=_SCALE * bench.noise_floor(statistic, self.view, ablations),
                discovery=_SCALE * float(seen.mean(self.mean(seen, answer.evaluated), self.view)) if seen else None,
            )
        ]

    def mean(self, game: JudgedGame, coalitions: Sequence[Evaluated]) -> np.ndarray:
        """The statistic's mean over the coalitions, shape (queries,); all ablations are prepared in one batch."""
        statistic = self.statistic()
        game.prepare([g for c in coalitions for g in ablations(statistic, c)])
        mean: np.ndarray = np.mean([statistic(game, c, self.view) for c in coalitions], axis=0)
        return mean

    @staticmethod
    @abstractmethod
    def statistic() -> Statistic:
        """The function that computes the statistic of a coalition per query."""

    def control(self, bench: Bench, coalitions: Sequence[Evaluated]) -> np.ndarray:
        """For each coalition the mean over the random sets of its size, averaged over coalitions, shape (queries,)."""
        sizes = sorted({len(c.members) for c in coalitions})
        by_size = {s: self.mean(bench.heldout, bench.controls(s)) for s in sizes}
        mean: np.ndarray = np.mean([by_size[len(c.members)] for c in coalitions], axis=0)
        return mean


class Pair(_Synergy):
    """Mean synergy of the pairs inside a coalition, averaged over the evaluated coalitions.

    The effect f(A) of a set A of players is the mean drop of the scores when A is ablated, in standard deviations of the
    unablated scores. The synergy of a pair is psi(i, j) = f({i, j}) - f({i}) - f({j}). Of each coalition, at most `pairs`
    randomly chosen pairs are evaluated.

    Control: the mean psi of `control_pairs` random pairs.
    """

    name = "synergy_pair"
    summary = "mean pairwise synergy inside a coalition, above that of random pairs"

    @staticmethod
    def statistic() -> Statistic:
        return pair

    def control(self, bench: Bench, coalitions: Sequence[Evaluated]) -> np.ndarray:
        mean: np.ndarray = pair_synergy(bench.heldout, bench.control_pairs, self.view).mean(0)
        return mean


class Excess(_Synergy):
    """Effect of a coalition C beyond that of its strongest subset with one member removed.

    The effect f(A) of a set A of players is the mean drop of the scores when A is ablated, in standard deviations of the
    unablated scores. The value is f(C) minus the largest f(C without k), over at most `leave_one_outs` randomly chosen
    members k.

    Control: the same on random sets of the same size, with equally many k, since a maximum grows with their number.
    """

    name = "synergy_excess"
    summary = (
        "effect of a coalition beyond its strongest subset with one member removed, above size-matched random sets"
    )

    @staticmethod
    def statistic() -> Statistic:
        return excess


class Joint(_Synergy):
    """Effect of a coalition C beyond the sum of its members' separate effects.

    The effect f(A) of a set A of players is the mean drop of the scores when A is ablated, in standard deviations of the
    unablated scores. The value is f(C) minus the sum of f({i}) over the members i.

    It is also measured on the discovery queries: a method that selects by ablation has seen those, so the difference from
    the held-out value is its optimism.

    Control: the same on random sets of the same size.
    """

    name = "synergy_joint"
    on_discovery = True
    summary = "effect of a coalition beyond the sum of its members' effects, above size-matched random sets"

    @staticmethod
    def statistic() -> Statistic:
        return joint


class PairMargin(Pair):
    """`synergy_pair` with the effect read from margins between candidates instead of from scores.

    The effect f(A) is the mean drop of s(x) - s(y), over all pairs of candidates x and y of a query in which x has the higher
    relevance grade, when A is ablated. A shift that all candidates of a query share changes no ranking and no margin.
    """

    name = "synergy_pair_margin"
    view = "margin"
    primary = False
    needs = frozenset({"judgements"})
    summary = (
        "synergy_pair read from the margins between relevant and non-relevant candidates, which decide the ranking"
    )


class ExcessMargin(Excess):
    """`synergy_excess` with the effect read from margins between candidates instead of from scores.

    The effect f(A) is the mean drop of s(x) - s(y), over all pairs of candidates x and y of a query in which x has the higher
    relevance grade, when A is ablated. A shift that all candidates of a query share changes no ranking and no margin.
    """

    name = "synergy_excess_margin"
    view = "margin"
    primary = False
    needs = frozenset({"judgements"})
    summary = (
        "synergy_excess read from the margins between relevant and non-relevant candidates, which decide the ranking"
    )


class JointMargin(Joint):
    """`synergy_joint` with the effect read from margins between candidates instead of from scores.

    The effect f(A) is the mean drop of s(x) - s(y), over all pairs of candidates x and y of a query in which x has the higher
    relevance grade, when A is ablated. A shift that all candidates of a query share changes no ranking and no margin.
    """

    name = "synergy_joint_margin"
    view = "margin"
    primary = False
    needs = frozenset({"judgements"})
    summary = (
        "synergy_joint read from the margins between relevant and non-relevant candidates, which decide the ranking"
    )


class Ratio(Metric):
    """Pairwise synergy of the coalitions as a share of their members' separate effects.

    The effect f(A) of a set A of players is the mean drop of the scores when A is ablated, and the synergy of a pair is
    psi(i, j) = f({i, j}) - f({i}) - f({j}). The value is the sum of psi(i, j) over all pairs of each coalition, divided by
    the sum of |f({i})| over its members i, both summed over the evaluated coalitions. The sum over pairs is the number of
    pairs times the mean over the sampled ones.

    Control: the same from the pool of random pairs and from the separate effects of size-matched random sets.

    Deviations from the paper: absolute separate effects, because signed ones cancel and leave the ratio unbounded; and a
    ratio of sums over the coalitions instead of a mean of ratios.
    """

    name = "synergy_ratio"
    unit = "share of single effects"
    primary = False
    summary = "pairwise synergy of a coalition as a share of its members' separate effects, above random sets"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        game, coalitions = bench.heldout, answer.evaluated
        game.prepare([g for c in coalitions for g in [*ablations(pair, c), *ablations(joint, c)]])
        pairs = [len(c.members) * (len(c.members) - 1) / 2 for c in coalitions]
        synergy = np.mean([n * pair(game, c, "score") for n, c in zip(pairs, coalitions, strict=True)], axis=0)
        separate = np.mean([_separate_effects(game, c.members) for c in coalitions], axis=0)
        by_chance = np.mean(pairs) * pair_synergy(game, bench.control_pairs).mean(0)
        sizes = [len(c.members) for c in coalitions]
        random = np.mean([np.mean([_separate_effects(game, r.members) for r in bench.controls(s)]) for s in sizes])
        ratio = by_chance / random if random else np.full_like(by_chance, np.nan)
        return [Contribution("heldout", synergy, ratio * separate.mean(), separate)]


def _separate_effects(game: JudgedGame, members: Group) -> np.ndarray:
    """Sum of |f({i})| over the members, shape (queries,): per query, each effect has the sign of its mean over queries."""
    singles = game.effects([(i,) for i in members])
    total: np.ndarray = (np.sign(singles.mean(1))[:, None] * singles).sum(0)
    return total
