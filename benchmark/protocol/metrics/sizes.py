"""Sizes: how the players are distributed over the coalitions."""

from __future__ import annotations

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric
from coterie.leaderboard.statistics.sizes import describe_sizes


class SizeDistribution(Metric):
    """Shares of the players that are in the largest coalition, in singletons, in no coalition, and in an eligible one.

    A player in several coalitions counts once. A partition with one giant coalition, or with nothing but singletons, says
    little, however good its other numbers are. Neither direction is better.
    """

    name = "sizes"
    unit = "share of players"
    primary = False
    domains = ("largest", "singletons", "left-out", "covered")
    any_size = True
    summary = "share of players in the largest coalition, in singletons, in no coalition, and in an eligible one"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        settings = bench.settings
        sizes = describe_sizes(bench.n_players, answer.coalitions.groups, settings.smallest, settings.largest_share)
        shares = (sizes.largest_share, sizes.singleton_share, sizes.left_out_share, sizes.covered_share)
        note = f"{sizes.number} coalitions, {sizes.eligible} of an eligible size, {len(answer.evaluated)} evaluated"
        return [Figure(domain, share, note=note) for domain, share in zip(self.domains, shares, strict=True)]
