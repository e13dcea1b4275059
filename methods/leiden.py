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
    """Leiden communities of the graph of best friends by an affinity: groups with more affinity than expected by chance.

    The graph connects each player with its `neighbours` best friends, the players of largest positive affinity; the
    affinity is the weight of the edge. The communities maximise

        Q = sum of (w_ij - gamma s_i s_j / 2m) over pairs i, j in one community

    with w_ij the weight of the edge between players i and j, s_i the sum of the weights at i, m the sum of all weights,
    and gamma the `resolution`. Communities are ordered by mean affinity over pairs of members, singletons last.

    The parameter `negative` determines what negative affinities do. With `drop` they are left out. With `signed` a
    second graph connects each player with its worst enemies, the negated affinity being the weight, and the communities
    maximise Q of the friends minus Q of the enemies. This is modularity for signed networks (Gomez, Jensen, Arenas
    2009, both parts with equal weight).

    Reference: Traag, Waltman, van Eck (2019), From Louvain to Leiden; Reichardt & Bornholdt (2006) (the resolution).

    Deviations from the paper: none (leidenalg); the graph keeps the nearest neighbours only.
    """

    name = "leiden"
    reference = "Traag, Waltman, van Eck (2019), From Louvain to Leiden, Sci. Rep. 9"

    resolution: Annotated[float, Field(gt=0, description="gamma: higher makes smaller communities")] = 1.0
    neighbours: Annotated[int, Field(ge=1, description="best friends per player in the graph")] = 15
    negative: Annotated[
        Literal["drop", "signed"], Field(description="treatment of negative affinities: left out, or repelling")
    ] = "drop"

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if no affinity is positive."""
        import leidenalg  # slow to import

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
