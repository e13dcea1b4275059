"""The exact top-covering algorithm on a whole affinity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from coterie.methods.affinity import AffinityMethod, get_affinity
from coterie.methods.coalitions import Coalitions
from coterie.methods.hedonic import Preferences, by_strength, top_cover
from coterie.methods.hedonic_pac import shape_notes

if TYPE_CHECKING:
    import numpy as np

    from coterie.tasks.game import Game


@dataclass(frozen=True)
class HedonicTopCover(AffinityMethod):
    """Core-stable coalitions when every neuron seeks its k best friends: no coalition at all would rather stand alone.

    Utility ``u_i(S) = 1/k * sum of phi_ij over the at most k best friends of i in S``, friends those of positive affinity.
    In each round every remaining neuron points to its k best friends among those that remain; the sink strongly connected
    components of that digraph are coalitions and leave. What PAC-Top-Cover learns from samples, with the whole matrix
    given: the reference for hedonic-oca and hedonic-pas. Ordered by mean member utility, singletons last.

    Where no affinity is positive all neurons are alone; where the digraph of best friends is strongly connected, all are
    together: the notes say so (``degenerate``). Draws nothing at random.

    Reference: Alcalde & Revilla (2004), J. Math. Econ. 40 (top-covering); Chowdhury, Nijasure, Zick, Allan (2026).

    Deviations from the paper: the exact algorithm in place of the sampled one; neurons of negative affinity are no
    friends (see :mod:`coterie.methods.hedonic`); all sink components of a round leave together, the same partition.
    """

    name = "hedonic-top-cover"
    reference = "Alcalde & Revilla (2004), Researching with whom? Stability and manipulation, J. Math. Econ. 40"

    k: Annotated[int, Field(ge=1, description="friends that a neuron counts")] = 2

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``BudgetExceededError`` where the budget does not cover the affinity."""
        phi, notes = get_affinity(self.affinity).measure(game, budget)
        preferences, k = Preferences.of(phi), min(self.k, max(1, game.n_players - 1))
        rounds = top_cover(preferences, k)
        groups = [group for sinks in rounds for group in sinks]
        return Coalitions.of(
            game.n_players,
            by_strength(preferences, groups, k),
            rounds=len(rounds),
            **shape_notes(groups, game.n_players),
            **notes,
        )
