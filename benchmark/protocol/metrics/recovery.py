"""Recovery: do the coalitions agree with the planted groups?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.metrics.base import Answer, Contribution, Figure, Metric
from coterie.benchmark.protocol.recovery import Groups, adjusted_mutual_information, omega_index


class Omega(Metric):
    """Omega index of the coalitions and the planted groups.

    The index is the chance-corrected agreement on how many groups each pair of players shares (Collins & Dent 1988): 1 for
    the truth, 0 on average for random groups. Coalitions may overlap. There is one number per task, not one per query.

    Control: the same coalitions after a random permutation of the players, averaged over `controls` permutations; about 0.
    """

    name = "recovery_omega"
    unit = "omega index"
    needs = frozenset({"truth"})
    summary = "agreement with the planted groups, overlaps included: 1 is perfect, 0 is chance (omega index)"

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        return [_against_permuted(bench, answer, omega_index)]


class MutualInformation(Metric):
    """Adjusted mutual information (AMI) of the coalitions and the planted groups, over the members of the planted groups.

    AMI is corrected for chance (Vinh, Epps & Bailey 2010): 1 for the truth, 0 on average for random groups. A player in
    several groups counts for the first of them. There is one number per task, not one per query.

    Control: the same coalitions after a random permutation of the players, averaged over `controls` permutations; about 0.
    """

    name = "recovery_ami"
    unit = "AMI"
    needs = frozenset({"truth"})
    summary = (
        "agreement with the planted groups on their members: 1 is perfect, 0 is chance (adjusted mutual information)"
    )

    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        return [_against_permuted(bench, answer, adjusted_mutual_information)]


def _against_permuted(bench: Bench, answer: Answer, score: Callable[[int, Groups, Groups], float]) -> Contribution:
    found = [c.members for c in answer.evaluated]
    permuted = [[order[list(members)].tolist() for members in found] for order in bench.orders]
    control = np.mean([score(bench.n_players, bench.truth, groups) for groups in permuted])
    value = score(bench.n_players, bench.truth, found)
    return Contribution("heldout", np.array([value]), np.array([control]), np.ones(1))
