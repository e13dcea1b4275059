"""Synergy on held-out queries: how far a coalition's joint effect is from what its parts do alone.

Reported in thousandths of a standard deviation of the unablated scores.

Notation: f(A) = mean over pairs x of [s(x; {}) - s(x; A)], in standard deviations of s(x; {}); positive f means that
ablating A lowers the scores. psi(i, j) = f({i, j}) - f({i}) - f({j}) is minus the paper's
l - l_-i - l_-j + l_-ij, up to the unit (Chowdhury et al., Hedonic Neurons, arXiv 2509.23684): positive psi means that the
two together lower the score more than they do one by one.

The ``_margin`` metrics are the same with f read from the margin between better and worse candidates of a query instead
of from the scores (``JudgedGame.effects``): a shift that all candidates share changes no ranking,
and is not in it. Positive f there means that ablating A brings relevant and irrelevant documents closer together.

The noise floor is the same computation on sets whose synergy is exactly zero: every set against itself, evaluated a
second time in other company (:meth:`coterie.benchmark.protocol.bench.Bench.noise_floor`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from coterie.benchmark.protocol.bench import Bench, Evaluated
from coterie.benchmark.protocol.judged_game import Group, JudgedGame, View
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric

UNIT = "0.001 sd of scores"
_SCALE = 1000.0

Statistic = Callable[[JudgedGame, Evaluated, View], np.ndarray]


def pair_synergy(domain: JudgedGame, pairs: Sequence[Group], view: View = "score") -> np.ndarray:
    """Psi of each pair, by query [pairs, Q]."""
    singles = [(i,) for pair in pairs for i in pair]
    domain.prepare([*pairs, *singles])
    alone = domain.effects(singles, view).reshape(len(pairs), 2, -1).sum(1)
    return domain.effects(pairs, view) - alone


def pair(domain: JudgedGame, coalition: Evaluated, view: View) -> np.ndarray:
    """Mean of psi over the coalition's drawn pairs, by query [Q]."""
    mean: np.ndarray = pair_synergy(domain, coalition.pairs, view).mean(0)
    return mean


def excess(domain: JudgedGame, coalition: Evaluated, view: View) -> np.ndarray:
    """f(C) - max_k f(C without k), by query [Q], at the k that is largest over all queries."""
    without = domain.effects(coalition.without_one, view)
    return domain.effects([coalition.members], view)[0] - without[domain.total(without, view).argmax()]


def joint(domain: JudgedGame, coalition: Evaluated, view: View) -> np.ndarray:
    """f(C) - sum over members of f({i}), by query [Q]."""
    singles = domain.effects([(i,) for i in coalition.members], view)
    return domain.effects([coalition.members], view)[0] - singles.sum(0)


def needed_by(statistic: Statistic, coalition: Evaluated) -> list[Group]:
    """The ablations behind a statistic, so that they can be asked for in one batch."""
    singles = [(i,) for i in coalition.members]
    if statistic is pair:
        return [*coalition.pairs, *((i,) for pair_ in coalition.pairs for i in pair_)]
    return [coalition.members, *(coalition.without_one if statistic is excess else singles)]


class _Synergy(Metric):
    """A statistic of each evaluated coalition, minus its mean over the controls."""

    unit = UNIT
    view: ClassVar[View] = "score"
    on_discovery: ClassVar[bool] = False  # also measured on the queries that the methods have seen

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        statistic, seen = self.statistic(), bench.discovery if self.on_discovery else None
        return [
            Contribution(
                "heldout",
                _SCALE * self.mean(bench.heldout, answer.evaluated),
                _SCALE * self.control(bench, answer.evaluated),
                bench.heldout.weight(self.view),
                noise_floor=_SCALE * bench.noise_floor(statistic, self.view, needed_by),
                discovery=_SCALE * float(seen.total(self.mean(seen, answer.evaluated), self.view)) if seen else None,
            )
        ]

    def mean(self, domain: JudgedGame, coalitions: Sequence[Evaluated]) -> np.ndarray:
        """The statistic's mean over the coalitions, by query [Q]; all ablations in one batch."""
        statistic = self.statistic()
        domain.prepare([g for c in coalitions for g in needed_by(statistic, c)])
        mean: np.ndarray = np.mean([statistic(domain, c, self.view) for c in coalitions], axis=0)
        return mean

    @staticmethod
    @abstractmethod
    def statistic() -> Statistic:
        """What is computed of a coalition, by query."""

    def control(self, bench: Bench, coalitions: Sequence[Evaluated]) -> np.ndarray:
        """Mean over the coalitions of the mean over the random sets of each one's size, by query [Q]."""
        sizes = sorted({len(c.members) for c in coalitions})
        by_size = {s: self.mean(bench.heldout, bench.controls(s)) for s in sizes}
        mean: np.ndarray = np.mean([by_size[len(c.members)] for c in coalitions], axis=0)
        return mean


class Pair(_Synergy):
    """Mean of psi over at most ``pairs`` sampled pairs of a coalition; control: one pool of random pairs."""

    name = "synergy_pair"
    summary = "mean pairwise synergy inside a coalition, above that of random pairs"

    @staticmethod
    def statistic() -> Statistic:
        return pair

    def control(self, bench: Bench, coalitions: Sequence[Evaluated]) -> np.ndarray:
        mean: np.ndarray = pair_synergy(bench.heldout, bench.control_pairs, self.view).mean(0)
        return mean


class Excess(_Synergy):
    """f(C) minus the largest effect of C without one (sampled) member.

    A maximum over k sampled members is compared with controls that take it over as many.
    """

    name = "synergy_excess"
    summary = "effect of a coalition beyond its best subset with one member less, above size-matched random sets"

    @staticmethod
    def statistic() -> Statistic:
        return excess


class Joint(_Synergy):
    """f(C) minus the sum of its members' single effects.

    Also measured on the discovery queries: a method that selects by ablation has seen those, so the difference to the
    held-out value is its optimism.
    """

    name = "synergy_joint"
    on_discovery = True
    summary = "effect of a coalition beyond the sum of its members' effects, above size-matched random sets"

    @staticmethod
    def statistic() -> Statistic:
        return joint


class PairMargin(Pair):
    """:class:`Pair` with f read from the margin between better and worse candidates."""

    name = "synergy_pair_margin"
    view = "margin"
    primary = False
    needs = frozenset({"judgements"})
    summary = "synergy_pair in the margin between relevant and non-relevant candidates, which alone changes rankings"


class ExcessMargin(Excess):
    """:class:`Excess` with f read from the margin between better and worse candidates."""

    name = "synergy_excess_margin"
    view = "margin"
    primary = False
    needs = frozenset({"judgements"})
    summary = "synergy_excess in the margin between relevant and non-relevant candidates, which alone changes rankings"


class JointMargin(Joint):
    """:class:`Joint` with f read from the margin between better and worse candidates."""

    name = "synergy_joint_margin"
    view = "margin"
    primary = False
    needs = frozenset({"judgements"})
    summary = "synergy_joint in the margin between relevant and non-relevant candidates, which alone changes rankings"


class Ratio(Metric):
    """Sum of psi over all pairs of a coalition, as a share of its members' single effects.

    ``Ratio = sum over C of sum_{i<j in C} psi(i, j) / sum over C of sum_{i in C} |f({i})|``: the first sum is the number
    of pairs times the mean over the drawn ones. Control: the same from the pool of random pairs and the single effects
    of the size-matched random sets.

    Deviations from the paper: absolute single effects (signed ones cancel, and the ratio of the paper has no bound), and
    a ratio of sums over the coalitions instead of a mean of ratios.
    """

    name = "synergy_ratio"
    unit = "share of single effects"
    primary = False
    summary = "pairwise synergy of a coalition as a share of its members' single effects, above random sets"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        domain, coalitions = bench.heldout, answer.evaluated
        domain.prepare([g for c in coalitions for g in [*needed_by(pair, c), *needed_by(joint, c)]])
        pairs = [len(c.members) * (len(c.members) - 1) / 2 for c in coalitions]
        synergy = np.mean([n * pair(domain, c, "score") for n, c in zip(pairs, coalitions, strict=True)], axis=0)
        alone = np.mean([_single_effects(domain, c.members) for c in coalitions], axis=0)
        by_chance = np.mean(pairs) * pair_synergy(domain, bench.control_pairs).mean(0)
        sizes = [len(c.members) for c in coalitions]
        random = np.mean([np.mean([_single_effects(domain, r.members) for r in bench.controls(s)]) for s in sizes])
        ratio = by_chance / random if random else np.full_like(by_chance, np.nan)
        return [Contribution("heldout", synergy, ratio * alone.mean(), alone)]


def _single_effects(domain: JudgedGame, members: Group) -> np.ndarray:
    """Sum of |f({i})| over the members, by query [Q]: each query's effect counts with the sign of the mean effect."""
    singles = domain.effects([(i,) for i in members])
    total: np.ndarray = (np.sign(singles.mean(1))[:, None] * singles).sum(0)
    return total
