"""Sizes: how the players are distributed over the coalitions."""

from __future__ import annotations

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric
from coterie.leaderboard.statistics.sizes import describe_sizes


class SizeDistribution(Metric):
    """Shares of the players: in the largest coalition, in coalitions of one, in none, and in one of an eligible size.

    A partition with one giant coalition, or with singletons only, says little whatever its other numbers are
    (:func:`coterie.leaderboard.statistics.sizes.describe_sizes`). Neither direction is better.
    """

    name = "sizes"
    unit = "share of players"
    primary = False
    domains = ("largest", "singletons", "left-out", "covered")
    whole = True
    summary = "players in the largest coalition, in coalitions of one, in none, in one of an eligible size"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        settings = bench.settings
        found = describe_sizes(bench.n_players, answer.coalitions.groups, settings.smallest, settings.largest_share)
        shares = (found.largest_share, found.singleton_share, found.left_out_share, found.covered_share)
        note = f"{found.number} coalitions, {found.eligible} of an eligible size, {len(answer.evaluated)} evaluated"
        return [Figure(domain, share, note=note) for domain, share in zip(self.domains, shares, strict=True)]
