"""Synergy on held-out queries: how far a coalition's joint effect is from what its parts do alone.

Reported in thousandths of a standard deviation of the unablated scores.

Notation: f(A) = mean over pairs x of [s(x; {}) - s(x; A)], in standard deviations of s(x; {}); positive f means that
ablating A lowers the scores. psi(i, j) = f({i, j}) - f({i}) - f({j}) is minus the paper's
l - l_-i - l_-j + l_-ij, up to the unit (Chowdhury et al., Hedonic Neurons, arXiv 2509.23684): positive psi means that the
two together lower the score more than they do one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from coterie.benchmark.bench import Bench, Domain, Evaluated
from coterie.benchmark.metrics.base import Contribution, Metric, mean_contribution

UNIT = "0.001 sd of scores"
_SCALE = 1000.0


def pair_synergy(domain: Domain, pairs: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Psi of each pair, by query [pairs, Q]."""
    singles = [(i,) for pair in pairs for i in pair]
    domain.prepare([*pairs, *singles])
    alone = domain.effects(singles).reshape(len(pairs), 2, -1).sum(1)
    return domain.effects(pairs) - alone


def excess(domain: Domain, coalition: Evaluated) -> np.ndarray:
    """f(C) - max_k f(C without k), by query [Q], at the k that is largest over all queries."""
    without = domain.effects(coalition.without_one)
    return domain.effects([coalition.members])[0] - without[without.mean(1).argmax()]


def joint(domain: Domain, coalition: Evaluated) -> np.ndarray:
    """f(C) - sum over members of f({i}), by query [Q]."""
    singles = domain.effects([(i,) for i in coalition.members])
    return domain.effects([coalition.members])[0] - singles.sum(0)


class Pair(Metric):
    """Mean of psi over at most ``pairs`` sampled pairs of a coalition; control: one pool of random pairs."""

    name = "synergy_pair"
    unit = UNIT
    ranked_domains = ("heldout",)
    summary = "mean pairwise synergy inside a coalition, above that of random pairs"

    def measure(self, bench: Bench, coalitions: Sequence[Evaluated]) -> list[Contribution]:
        domain = bench.heldout
        domain.prepare([p for c in coalitions for p in c.pairs])
        rows = np.stack([pair_synergy(domain, c.pairs).mean(0) for c in coalitions])
        control = pair_synergy(domain, bench.control_pairs).mean(0, keepdims=True)
        return [mean_contribution("heldout", _SCALE * rows, _SCALE * control)]


class Excess(Metric):
    """f(C) minus the largest effect of C without one (sampled) member.

    A maximum over k sampled members is compared with controls that take it over as many.
    """

    name = "synergy_excess"
    unit = UNIT
    ranked_domains = ("heldout",)
    summary = "effect of a coalition beyond its best subset with one member less, above size-matched random sets"

    def measure(self, bench: Bench, coalitions: Sequence[Evaluated]) -> list[Contribution]:
        return [_against_controls(bench, coalitions, excess, lambda c: [c.members, *c.without_one])]


class Joint(Metric):
    """f(C) minus the sum of its members' single effects."""

    name = "synergy_joint"
    unit = UNIT
    ranked_domains = ("heldout",)
    summary = "effect of a coalition beyond the sum of its members' effects, above size-matched random sets"

    def measure(self, bench: Bench, coalitions: Sequence[Evaluated]) -> list[Contribution]:
        return [_against_controls(bench, coalitions, joint, lambda c: [c.members, *((i,) for i in c.members)])]


def _against_controls(
    bench: Bench,
    coalitions: Sequence[Evaluated],
    statistic: Callable[[Domain, Evaluated], np.ndarray],
    needs: Callable[[Evaluated], list[tuple[int, ...]]],
) -> Contribution:
    """The statistic of each coalition, and its mean over the controls of the same size; all ablations in one batch."""
    domain = bench.heldout
    sizes = sorted({len(c.members) for c in coalitions})
    domain.prepare([g for c in [*coalitions, *(r for s in sizes for r in bench.controls(s))] for g in needs(c)])
    by_size = {s: np.mean([statistic(domain, r) for r in bench.controls(s)], axis=0) for s in sizes}
    return mean_contribution(
        "heldout",
        _SCALE * np.stack([statistic(domain, c) for c in coalitions]),
        _SCALE * np.stack([by_size[len(c.members)] for c in coalitions]),
    )
