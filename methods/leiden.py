"""Leiden communities on an affinity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from coterie.methods.affinity import AffinityMethod, get_affinity
from coterie.methods.clustering import by_affinity, groups_of, with_affinity
from coterie.methods.coalitions import Coalitions
from coterie.methods.graph import nearest_graph

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class Leiden(AffinityMethod):
    """Leiden communities of the graph of best friends by an affinity: groups with more affinity inside than by chance.

    Maximises ``Q = sum over pairs in one community of (w_ij - gamma s_i s_j / 2m)``, w the positive affinities on the
    edges (each player with its ``neighbours`` best friends), s_i the sum of i's, m the sum of all, gamma the
    ``resolution``. Negative affinities, by ``negative``: ``drop`` leaves them out; ``signed`` builds the same graph of
    each player's worst enemies with weights ``-phi`` and maximises ``Q(friends) - Q(enemies)``, which is modularity for
    signed networks (Gomez, Jensen, Arenas 2009, both parts with the same weight). Communities are ordered by mean
    affinity over pairs of members, singletons last.

    Reference: Traag, Waltman, van Eck (2019), From Louvain to Leiden; Reichardt & Bornholdt (2006) (the resolution).

    Deviations from the paper: none (leidenalg); the graph keeps the nearest neighbours only.
    """

    name = "leiden"
    reference = "Traag, Waltman, van Eck (2019), From Louvain to Leiden, Sci. Rep. 9"

    resolution: Annotated[float, Field(gt=0, description="gamma: higher makes smaller communities")] = 1.0
    neighbours: Annotated[int, Field(ge=1, description="best friends of each player that make its edges")] = 15
    negative: Annotated[Literal["drop", "signed"], Field(description="negative affinities: left out, or repelling")] = (
        "drop"
    )

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``ValueError`` where no affinity is positive."""
        import leidenalg  # only where it runs

        phi, notes = get_affinity(self.affinity).measure(game, budget)
        with_affinity(phi, self.affinity, positive=True)
        signs = (1, -1) if self.negative == "signed" else (1,)
        layers = [
            leidenalg.RBConfigurationVertexPartition(
                nearest_graph(sign * phi, self.neighbours), weights="weight", resolution_parameter=self.resolution
            )
            for sign in signs
        ]
        optimiser = leidenalg.Optimiser()
        optimiser.set_rng_seed(int(rng.integers(2**31)))
        optimiser.optimise_partition_multiplex(layers, layer_weights=list(signs), n_iterations=-1)
        groups = by_affinity(phi, groups_of(np.array(layers[0].membership)))
        return Coalitions.of(game.n_players, groups, **notes)
