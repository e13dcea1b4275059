"""Hedonic coalitions on the OCA affinity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from coterie.methods.affinity_oca import oca
from coterie.methods.hedonic_pac import PacTopCoverMethod
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    import numpy as np

    from coterie.methods.coalitions import Coalitions
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class HedonicOca(PacTopCoverMethod):
    """Coalitions that are PAC-stable when every neuron seeks its k best friends by output-coactivation affinity.

    The affinity of neurons i and j is

        phi_ij = (1 - |cos(w_i, w_j)|) * rho(a_i, a_j)

    with w_i the write vector of neuron i (its column of the down projection), cos the cosine, a_i its activations over
    the rows that `pooling` selects, and rho the Pearson correlation. It is large for neurons that fire together and
    write in different directions. The friends of neuron i are the neurons j with phi_ij > 0, the best being those with
    the largest phi_ij. Neuron i values a coalition S at

        v_i(S) = 1/k * sum of phi_ij over the at most k best friends j of i in S

    and of two coalitions with the same k best friends it prefers the smaller.

    PAC-Top-Cover partitions the neurons in rounds. A round draws coalitions from a distribution D: a size, uniform from
    `min_size` to `max_size`, then a uniform subset of that size of the remaining neurons. From the samples that contain
    it, each neuron learns which others it wants. The smallest groups whose members want nobody outside the group become
    coalitions and leave. The coalitions are ordered by their mean value to their members, singletons last.

    Costs one evaluation (activations). The partition of 14,336 neurons takes 1.4 GiB (`benchmark/perf/hedonic.py`).

    The notes of the result report how much was sampled, how many choice sets (the k best friends of a neuron) are those
    of the exact algorithm, the size distribution, `degenerate` if the partition is one coalition or singletons only,
    and `certificate`: how often a fresh coalition from D blocks the partition, with a 95 % upper bound and the
    guarantee that holds.

    `k` matters most. With k = 1, pairs of mutual best friends form. If the digraph of k best friends has one giant
    component, as it tends to for k >= 3 on affinities without blocks, the partition has one giant coalition; see
    `largest_share` in the notes. Blocks of slightly more than k neurons are recovered.

    Reference: Chowdhury, Nijasure, Zick, Allan (2026); Sliwinski & Zick (2017), Learning hedonic games, IJCAI.

    Deviations from the paper: neurons of negative affinity are not friends and count as 0 in the mean, which makes the
    game top-responsive (`methods/hedonic.py` explains this). All sink components of a round leave together, not only
    the smallest, which yields the same partition in fewer rounds. Without `epsilon`, a round draws `refinements`
    further batches instead of one per remaining player, and evidence that still holds is kept from round to round
    (`methods/pac.py`); with it, the sample counts and batches are the paper's. D has sizes up to all remaining neurons.
    The public code draws 2 to 10 of 14,336, and the sampled choice sets are then close to random; with the sizes of D,
    a few hundred samples suffice for the exact ones.
    """

    name = "hedonic-oca"
    sees = frozenset({Capability.ACTIVATIONS, Capability.WEIGHTS})
    reference = "Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684"
    tiny: ClassVar = {"samples": 60}

    pooling: Annotated[
        Literal["tokens", "mean", "last"],
        Field(description="rows of the correlation: tokens, or pairs by their mean or last token"),
    ] = "tokens"

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` for sizes that contradict each other and for values that are not finite."""
        return self.partition(oca(game.activations(self.pooling), game.write_vectors()), rng)
