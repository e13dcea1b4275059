"""Recovery: do the coalitions agree with the groups that were planted?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric
from coterie.benchmark.protocol.recovery import Groups, adjusted_mutual_information, omega_index


class Omega(Metric):
    """Omega index of the coalitions and the planted groups (:func:`coterie.benchmark.protocol.recovery.omega_index`).

    One number a task, not one a query. Control: the same coalitions with the players' names exchanged at random, R times:
    about 0, as the index is corrected for chance.
    """

    name = "recovery_omega"
    unit = "omega index"
    needs = frozenset({"truth"})
    summary = "agreement with the planted groups, overlaps counted: 1 is the truth, 0 is chance (omega index)"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        return [_against_renamed(bench, answer, omega_index)]


class MutualInformation(Metric):
    """AMI of the coalitions and the planted groups (:func:`coterie.benchmark.protocol.recovery.adjusted_mutual_information`).

    Over the players of the planted groups; control as for the omega index.
    """

    name = "recovery_ami"
    unit = "AMI"
    needs = frozenset({"truth"})
    summary = "agreement with the planted groups over their members: 1 is the truth, 0 is chance (adjusted mutual information)"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        return [_against_renamed(bench, answer, adjusted_mutual_information)]


def _against_renamed(bench: Bench, answer: Answer, score: Callable[[int, Groups, Groups], float]) -> Contribution:
    found = [c.members for c in answer.evaluated]
    renamed = [[order[list(members)].tolist() for members in found] for order in bench.orders]
    control = np.mean([score(bench.n_players, bench.truth, groups) for groups in renamed])
    value = score(bench.n_players, bench.truth, found)
    return Contribution("heldout", np.array([value]), np.array([control]), np.ones(1))
