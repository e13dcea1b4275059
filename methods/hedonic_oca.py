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

    ``phi_ij = (1 - |cos(u_i, u_j)|) * rho(a_i, a_j)``; a neuron values a coalition by its k best friends in it,
    ``1/k * sum of phi``; PAC-Top-Cover on coalitions sampled from D (a size, uniform from ``min_size`` to ``max_size``,
    then a uniform subset of the remaining neurons of that size) gives a partition. Ordered by mean member utility,
    singletons last. Costs one evaluation (activations). The partition of 14,336 neurons takes
    1.4 GiB (``benchmark/perf/hedonic.py``).

    Notes of the result: what was sampled, how many choice sets are those of the exact algorithm, the size distribution,
    ``degenerate`` where it is one coalition or singletons only, and ``certificate``: how often a fresh coalition of D
    blocks the partition, with a 95 % upper bound, and which guarantee holds.

    ``k`` decides more than all else. k = 1 makes pairs of mutual best friends. Where the digraph of k best friends has
    one giant component, as it tends to for k >= 3 on affinities without blocks, so has the partition; see
    ``largest_share`` in the notes. Blocks of a few more than k neurons are recovered.

    Reference: Chowdhury, Nijasure, Zick, Allan (2026); Sliwinski & Zick (2017), Learning hedonic games, IJCAI.

    Deviations from the paper: neurons of negative affinity are no friends and count 0 in the mean, which makes the game
    top-responsive (see :mod:`coterie.methods.hedonic`). All sink components of a round leave together, not only the
    smallest: the same partition, in fewer rounds. Without ``epsilon``: `refinements` batches in place of one a remaining
    player, and evidence that still holds is kept from round to round (:func:`coterie.methods.pac.pac_top_cover`); with
    it, the sample counts and batches are the paper's. D has sizes up to all remaining neurons, where the public code
    draws 2 to 10 of 14,336: there the sampled choice sets are close to random, here a few hundred samples give the exact
    ones.
    """

    name = "hedonic-oca"
    sees = frozenset({Capability.ACTIVATIONS, Capability.WEIGHTS})
    reference = "Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684"
    tiny: ClassVar = {"samples": 60}

    pooling: Annotated[
        Literal["tokens", "mean", "last"],
        Field(description="rows of the correlation: tokens, or pairs by mean or last"),
    ] = "tokens"

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``ValueError`` on sizes that exclude each other and on values that are not finite."""
        return self.partition(oca(game.activations(self.pooling), game.write_vectors()), rng)
