"""Ablation nDCG: what ranking quality is lost when coalitions are ablated, one by one and in order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.protocol.bench import Bench, Evaluated
from coterie.benchmark.protocol.judged_game import Group, JudgedGame
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric, mean_contribution, pooled


class AblationNDCG(Metric):
    """Drop of nDCG@10 by query, mean over the evaluated coalitions, above size-matched random sets.

    The drop on transfer domains is the out-of-domain drop of Hedonic Neurons (arXiv 2509.23684, OOD drop).
    ``transfer`` pools the queries of all transfer domains, where the task has any.
    """

    name = "ndcg_drop"
    unit = "nDCG@10"
    needs = frozenset({"judgements"})
    domains = ("heldout", "transfer")
    summary = "nDCG@10 lost when a coalition is ablated, above size-matched random sets"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        parts = [_drop(bench, name, domain, answer.evaluated) for name, domain in bench.domains.items()]
        seen = None
        if bench.discovery is not None:
            seen = float(bench.discovery.ndcg_drops([c.members for c in answer.evaluated]).mean())
        heldout = Contribution("heldout", parts[0].numerator, parts[0].control, parts[0].denominator, discovery=seen)
        return [heldout, *parts[1:], *([pooled("transfer", parts[1:])] if parts[1:] else [])]


def _drop(bench: Bench, name: str, domain: JudgedGame, coalitions: Sequence[Evaluated]) -> Contribution:
    sizes = sorted({len(c.members) for c in coalitions})
    controls = {s: [r.members for r in bench.controls(s)] for s in sizes}
    domain.prepare([*(c.members for c in coalitions), *(g for groups in controls.values() for g in groups)])
    by_size = {s: domain.ndcg_drops(groups).mean(0) for s, groups in controls.items()}
    return mean_contribution(
        name,
        domain.ndcg_drops([c.members for c in coalitions]),
        np.stack([by_size[len(c.members)] for c in coalitions]),
    )


class AblationCurve(Metric):
    """Area between two curves of nDCG@10 against the share of neurons removed: random's minus the method's.

    The method's curve: the evaluated coalitions are removed one after the other, strongest first, each on top of those
    before it. Random's: ``curve_controls`` random orders of the players, measured at ``curve_points`` sizes that are the
    same for all methods, linear between them. With D(x) the nDCG@10 lost at share x (0 at 0, linear between points) and
    X the share that all of the method's coalitions make up, the value is ``1/X integral_0^X [D_method - D_random] dx``:
    positive where the method's neurons matter more than as many random ones.
    """

    name = "ndcg_curve"
    unit = "nDCG@10"
    primary = False
    needs = frozenset({"judgements"})
    summary = "nDCG@10 lost while coalitions are removed in order, mean over the curve, above as many random neurons"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        unions = _unions([c.members for c in answer.evaluated])
        sizes = np.array([0, *(len(u) for u in unions)])
        domain = bench.heldout
        drops = np.vstack([np.zeros(domain.n_queries), domain.ndcg_drops(unions)])
        knots, random = _random_curve(bench)
        shared = np.union1d(sizes, knots[knots < sizes[-1]])
        method_at, random_at = (_between(shared, x, y) for x, y in ((sizes, drops), (knots, random)))
        width = float(sizes[-1])
        by_chance = _between(sizes, knots, random).mean(1)
        return [
            Contribution(
                "heldout",
                np.trapezoid(method_at, shared, axis=0) / width,
                np.trapezoid(random_at, shared, axis=0) / width,
                np.ones(domain.n_queries),
                curve=tuple(
                    (float(size / bench.n_players), float(own), float(chance))
                    for size, own, chance in zip(sizes, drops.mean(1), by_chance, strict=True)
                ),
            )
        ]


def _unions(groups: Sequence[Group]) -> list[Group]:
    """The players of the first 1, 2, .. groups; a group that adds nobody makes no point."""
    found: list[Group] = []
    removed: set[int] = set()
    for group in groups:
        if not set(group) <= removed:
            removed |= set(group)
            found.append(tuple(sorted(removed)))
    return found


def _random_curve(bench: Bench) -> tuple[np.ndarray, np.ndarray]:
    """Sizes [points] and the nDCG@10 that random sets of these sizes lose, by query [points, Q]; 0 at size 0."""
    sizes = np.unique(np.geomspace(1, bench.n_players, bench.settings.curve_points).round().astype(int))
    orders = bench.orders[: bench.settings.curve_controls]
    groups = [[tuple(sorted(order[:size].tolist())) for order in orders] for size in sizes]
    bench.heldout.prepare([group for row in groups for group in row])
    drops = [bench.heldout.ndcg_drops(row).mean(0) for row in groups]
    return np.array([0, *sizes]), np.vstack([np.zeros(bench.heldout.n_queries), *drops])


def _between(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rows [at, Q] of the piecewise linear curve through (x, y [x, Q])."""
    return np.stack([np.interp(at, x, column) for column in y.T], axis=1)
