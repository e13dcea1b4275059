"""Ablation nDCG: the ranking quality lost when coalitions are ablated, each separately and one after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.protocol.bench import Bench, Evaluated
from coterie.benchmark.protocol.judged_game import Group, JudgedGame, as_group
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric, mean_contribution, pooled


class AblationNDCG(Metric):
    """Drop of nDCG@10 when a coalition is ablated: the mean over the evaluated coalitions and over the queries.

    It is reported on the held-out queries and on every transfer domain; `transfer` pools the queries of all transfer
    domains. The drop on transfer domains is the OOD drop of Hedonic Neurons (Chowdhury et al., arXiv 2509.23684). It is
    also measured on the discovery queries: a method that selects by ablation has seen those, so the difference from the
    held-out value is its optimism.

    Control: the mean drop of random sets of each coalition's size.
    """

    name = "ndcg_drop"
    unit = "nDCG@10"
    needs = frozenset({"judgements"})
    domains = ("heldout", "transfer")
    summary = "nDCG@10 lost when a coalition is ablated, above size-matched random sets"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        parts = [_drop(bench, name, game, answer.evaluated) for name, game in bench.domains.items()]
        seen = None
        if bench.discovery is not None:
            seen = float(bench.discovery.ndcg_drops([c.members for c in answer.evaluated]).mean())
        heldout = Contribution("heldout", parts[0].numerator, parts[0].control, parts[0].denominator, discovery=seen)
        return [heldout, *parts[1:], *([pooled("transfer", parts[1:])] if parts[1:] else [])]


def _drop(bench: Bench, name: str, game: JudgedGame, coalitions: Sequence[Evaluated]) -> Contribution:
    sizes = sorted({len(c.members) for c in coalitions})
    controls = {s: [r.members for r in bench.controls(s)] for s in sizes}
    game.prepare([*(c.members for c in coalitions), *(g for groups in controls.values() for g in groups)])
    by_size = {s: game.ndcg_drops(groups).mean(0) for s, groups in controls.items()}
    return mean_contribution(
        name,
        game.ndcg_drops([c.members for c in coalitions]),
        np.stack([by_size[len(c.members)] for c in coalitions]),
    )


class AblationCurve(Metric):
    """Area between two curves of nDCG@10 lost against the share of players removed: the method's minus the random one.

    The method's curve: its evaluated coalitions are removed one after another, strongest first, each on top of those before
    it. The random curve: the mean over `curve_controls` random orders of the players, measured at `curve_points` sizes that
    are the same for all methods. Both are linear between points and 0 at share 0.

    Let D(x) be the nDCG@10 lost at share x, and X the share that all evaluated coalitions make up together. The value is
    the integral of D_method(x) - D_random(x) from 0 to X, divided by X. It is positive if the method's players matter more
    than equally many random ones.
    """

    name = "ndcg_curve"
    unit = "nDCG@10"
    primary = False
    needs = frozenset({"judgements"})
    summary = "mean nDCG@10 lost while coalitions are removed one after another, above equally many random players"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        unions = _unions([c.members for c in answer.evaluated])
        sizes = np.array([0, *(len(u) for u in unions)])
        game = bench.heldout
        drops = np.vstack([np.zeros(game.n_queries), game.ndcg_drops(unions)])
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
                np.ones(game.n_queries),
                curve=tuple(
                    (float(size / bench.n_players), float(own), float(chance))
                    for size, own, chance in zip(sizes, drops.mean(1), by_chance, strict=True)
                ),
            )
        ]


def _unions(groups: Sequence[Group]) -> list[Group]:
    """The players of the first group, of the first two, and so on; groups that add no player are skipped."""
    found: list[Group] = []
    removed: set[int] = set()
    for group in groups:
        if not set(group) <= removed:
            removed |= set(group)
            found.append(tuple(sorted(removed)))
    return found


def _random_curve(bench: Bench) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, shape (points,), and the nDCG@10 that random sets of these sizes lose, shape (points, queries); 0 at size 0."""
    sizes = np.unique(np.geomspace(1, bench.n_players, bench.settings.curve_points).round().astype(int))
    orders = bench.orders[: bench.settings.curve_controls]
    groups = [[as_group(order[:size]) for order in orders] for size in sizes]
    bench.heldout.prepare([group for row in groups for group in row])
    drops = [bench.heldout.ndcg_drops(row).mean(0) for row in groups]
    return np.array([0, *sizes]), np.vstack([np.zeros(bench.heldout.n_queries), *drops])


def _between(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The piecewise linear curve through x (points,) and y (points, queries) at some sizes, shape (sizes, queries)."""
    return np.stack([np.interp(at, x, column) for column in y.T], axis=1)
