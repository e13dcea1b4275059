"""PAC stability: how often does a random coalition block the partition?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.judged_game import Group
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric

FRIENDS = 2  # k of the reference utility
SMALLEST, LARGEST = 3, 8  # sizes of the random coalitions
_PERMUTATIONS = 5  # of the players, for the control


class PacStability(Metric):
    """Share of random coalitions that block the partition under the task's reference utility.

    A random coalition has a size drawn uniformly from 3 to 8, and is then drawn uniformly from the sets of that size; this
    is the distribution D. A player values a coalition by its k = 2 best friends in it, friendship being second-order
    synergy on the held-out queries, which no method has seen. A coalition blocks if all its members strictly prefer it to
    their own. The method's coalitions may have any size; a player in several belongs to the first, and a player in none
    is alone.

    The interval is Clopper and Pearson's (95%, exact for binomial counts). With eps its upper end, the partition is
    eps-PAC stable for D (Sliwinski & Zick, IJCAI 2017).

    Control: the mean over five partitions with the same sizes, their players permuted at random.

    Every method's partition is judged this way, whether it is hedonic or not. The test covers only D: a coalition that
    is never drawn blocks unnoticed, and if players have few friends, hardly anything blocks.
    """

    name = "pac_blocking"
    unit = "share of draws"
    higher_is_better = False
    primary = False
    needs = frozenset({"curvature"})
    any_size = True
    summary = "share of random coalitions whose members would all rather join them (exact binomial interval)"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        draws = bench.settings.pac_draws
        blocking = _blocking(bench, answer.coalitions.groups)
        low, high = clopper_pearson(blocking, draws)
        permuted = [[order[list(g)] for g in answer.coalitions.groups] for order in bench.orders[:_PERMUTATIONS]]
        control = float(np.mean([_blocking(bench, groups) for groups in permuted])) / draws
        note = f"{blocking} of {draws} draws block; D: uniform sizes {SMALLEST} to {LARGEST}; utility: {bench.reference[1]}"
        return [Figure("heldout", blocking / draws, low, high, control, note)]


def clopper_pearson(successes: int, draws: int) -> tuple[float, float]:
    """The exact two-sided 95% interval of a binomial share."""
    from scipy.stats import binomtest  # half a second to import

    interval = binomtest(successes, draws).proportion_ci(0.95, method="exact")
    return float(interval.low), float(interval.high)


def _blocking(bench: Bench, groups: Sequence[Group] | Sequence[np.ndarray]) -> int:
    """Number of draws that block; all partitions of a task face the same draws."""
    from coterie.methods.pac import SizeLaw, certificate  # half a second to import

    law, draws = SizeLaw(SMALLEST, LARGEST), bench.settings.pac_draws
    found = certificate(bench.reference[0], _partition(groups), FRIENDS, law, draws, bench.generator(1))
    return int(found["blocking"])


def _partition(groups: Sequence[Group] | Sequence[np.ndarray]) -> list[np.ndarray]:
    """The groups with every player kept only in its first group."""
    taken: set[int] = set()
    parts = []
    for group in groups:
        own = sorted({int(i) for i in group} - taken)
        taken.update(own)
        if own:
            parts.append(np.array(own))
    return parts
