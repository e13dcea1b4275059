"""Hedonic coalitions on the OCA affinity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from coterie.methods.affinity_oca import oca
from coterie.methods.base import Method
from coterie.methods.coalitions import Coalitions
from coterie.methods.hedonic import Preferences, by_strength
from coterie.methods.pac import SizeLaw, certificate, pac_top_cover
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    import numpy as np

    from coterie.tasks.game import Game


@dataclass(frozen=True)
class HedonicOca(Method):
    """Coalitions that are PAC-stable when every neuron seeks its k best friends by output-coactivation affinity.

    ``phi_ij = (1 - |cos(u_i, u_j)|) * rho(a_i, a_j)``; a neuron values a coalition by its k best friends in it,
    ``1/k * sum of phi``; PAC-Top-Cover on coalitions sampled from D (a size, uniform from ``min_size`` to ``max_size``,
    then a uniform subset of the remaining neurons of that size) gives a partition. Ordered by mean member utility,
    singletons last. Costs one evaluation (activations). Memory: about 12 bytes a pair of neurons.

    Notes of the result: what was sampled, how many choice sets are those of the exact algorithm, the size distribution,
    and ``certificate``: how often a fresh coalition of D blocks the partition, with a 95 % upper bound.

    ``k`` decides more than all else. k = 1 makes pairs of mutual best friends. Where the digraph of k best friends has
    one giant component, as it tends to for k >= 3 on affinities without blocks, so has the partition; see
    ``largest_share`` in the notes. Blocks of a few more than k neurons are recovered.

    Reference: Chowdhury, Nijasure, Zick, Allan (2026); Sliwinski & Zick (2017), Learning hedonic games, IJCAI.

    Deviations from the paper: neurons of negative affinity are no friends and count 0 in the mean, which makes the game
    top-responsive (see :mod:`coterie.methods.hedonic`). All sink components of a round leave together, not only the
    smallest: the same partition, in fewer rounds. `refinements` batches in place of one a remaining player, and none
    once every B_i is down to the choice set. D has sizes up to all remaining neurons, where the public code draws 2 to
    10 of 14,336: there the sampled choice sets are close to random, here a few hundred samples give the exact ones.
    """

    name = "hedonic-oca"
    sees = frozenset({Capability.ACTIVATIONS, Capability.WEIGHTS})
    reference = "Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684"
    tiny: ClassVar = {"samples": 60}

    k: Annotated[int, Field(ge=1, description="friends that a neuron counts")] = 2
    samples: Annotated[int, Field(ge=1, description="coalitions drawn in each batch")] = 1000
    refinements: Annotated[int, Field(ge=0, description="further batches a round that cut B_i down")] = 1
    min_size: Annotated[int | None, Field(ge=1, description="least size that D draws; null: k + 1")] = None
    max_size: Annotated[int | None, Field(ge=1, description="largest size that D draws; null: all that remain")] = None
    pooling: Annotated[
        Literal["tokens", "mean", "last"],
        Field(description="rows of the correlation: tokens, or pairs by mean or last"),
    ] = "tokens"

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``ValueError`` on sizes that exclude each other and on values that are not finite."""
        k = min(self.k, max(1, game.n_players - 1))
        law = SizeLaw(k + 1 if self.min_size is None else self.min_size, self.max_size)
        if law.high is not None and law.high < law.low:
            raise ValueError(
                f"{self.name}: expected max_size >= {law.low}, the least size, got {law.high}; fix: raise it"
            )
        preferences = Preferences.of(oca(game.activations(self.pooling), game.write_vectors()))
        groups, tally = pac_top_cover(preferences, k, law, self.samples, self.refinements, rng)
        groups = by_strength(preferences, groups, k)
        sizes = [len(group) for group in groups]
        return Coalitions.of(
            game.n_players,
            groups,
            **asdict(tally),
            largest_share=max(sizes) / game.n_players,
            singleton_share=sizes.count(1) / game.n_players,
            certificate=certificate(preferences, groups, k, law, self.samples, rng),
        )
