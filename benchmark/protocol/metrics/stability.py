"""PAC stability: how often does a coalition drawn at random block the partition?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.judged_game import Group
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric

FRIENDS = 2  # k of the reference utility
SMALLEST, LARGEST = 3, 8  # sizes that D draws
_RENAMED = 5  # partitions of the same sizes, players exchanged at random


class PacStability(Metric):
    """Share of coalitions drawn from D that block the partition under the task's reference utility.

    Every player values a coalition by its k = 2 best friends there (:mod:`coterie.methods.hedonic`), friendship being
    second-order synergy on the held-out queries, which no method has seen; a coalition blocks where all of its members
    strictly prefer it to their own. D: a size uniform in 3 to 8, then a uniform subset of that size. Coalitions of any
    size count; a player of several belongs to the first, a player of none stands alone. The interval is Clopper and
    Pearson's (95 %, exact for binomial counts): by it the partition is eps-PAC stable for D with eps its upper end
    (Sliwinski & Zick, IJCAI 2017). Control: the same sizes with the players exchanged at random, five times.

    Every method's partition is judged so, hedonic or not. It says what D can show: a coalition that no draw hits blocks
    unseen, and under few friends hardly anything blocks.
    """

    name = "pac_blocking"
    unit = "share of draws"
    higher_is_better = False
    primary = False
    needs = frozenset({"curvature"})
    whole = True
    summary = "share of random coalitions that all their members prefer to their own (exact binomial interval)"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        draws = bench.settings.pac_draws
        blocking = _blocking(bench, answer.coalitions.groups)
        low, high = clopper_pearson(blocking, draws)
        exchanged = [[order[list(g)] for g in answer.coalitions.groups] for order in bench.orders[:_RENAMED]]
        control = float(np.mean([_blocking(bench, groups) for groups in exchanged])) / draws
        note = f"{blocking} of {draws} draws block; D: sizes {SMALLEST} to {LARGEST}, uniform; utility: {bench.reference[1]}"
        return [Figure("heldout", blocking / draws, low, high, control, note)]


def clopper_pearson(successes: int, draws: int) -> tuple[float, float]:
    """The exact two-sided 95 % interval of a binomial share."""
    from scipy.stats import binomtest

    interval = binomtest(successes, draws).proportion_ci(0.95, method="exact")
    return float(interval.low), float(interval.high)


def _blocking(bench: Bench, groups: Sequence[Group] | Sequence[np.ndarray]) -> int:
    """Draws that block; the draws are the same for every partition of a task."""
    from coterie.methods.pac import SizeLaw, certificate

    law, draws = SizeLaw(SMALLEST, LARGEST), bench.settings.pac_draws
    found = certificate(bench.reference[0], _partition(groups), FRIENDS, law, draws, bench.generator(1))
    return int(found["blocking"])


def _partition(groups: Sequence[Group] | Sequence[np.ndarray]) -> list[np.ndarray]:
    """The groups with every player in the first of its groups only."""
    taken: set[int] = set()
    parts = []
    for group in groups:
        own = sorted({int(i) for i in group} - taken)
        taken.update(own)
        if own:
            parts.append(np.array(own))
    return parts
