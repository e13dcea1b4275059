"""The exact top-covering algorithm on a whole affinity matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from coterie.methods.affinity import AffinityMethod, get_affinity
from coterie.methods.coalitions import Coalitions
from coterie.methods.hedonic import Preferences, by_strength, top_cover
from coterie.methods.hedonic_pac import Friends, shape_notes

if TYPE_CHECKING:
    import numpy as np

    from coterie.tasks.game import Game


@dataclass(frozen=True)
class HedonicTopCover(AffinityMethod):
    """Core-stable coalitions when every neuron seeks its k best friends: no group of neurons prefers to break away.

    With phi_ij the affinity of neurons i and j, the friends of neuron i are the neurons j with phi_ij > 0. Neuron i
    values a coalition S at

        v_i(S) = 1/k * sum of phi_ij over the at most k best friends j of i in S

    In each round every remaining neuron points to its k best friends among the remaining ones. The sink strongly
    connected components of that digraph, the smallest groups whose members point to nobody outside, become coalitions
    and leave. The coalitions are ordered by their mean value to their members, singletons last.

    This is the exact algorithm behind hedonic-oca and hedonic-pas, which learn the friends from samples; it needs the
    whole matrix. If no affinity is positive, every neuron is alone; if the digraph of best friends is strongly
    connected, all neurons form one coalition. The notes report both cases as `degenerate`. The method is deterministic.

    Reference: Alcalde & Revilla (2004), J. Math. Econ. 40 (top-covering); Chowdhury, Nijasure, Zick, Allan (2026).

    Deviations from the paper: the exact algorithm replaces the sampled one; neurons of negative affinity are not
    friends (`methods/hedonic.py` explains this); all sink components of a round leave together, which yields the same
    partition.
    """

    name = "hedonic-top-cover"
    reference = "Alcalde & Revilla (2004), Researching with whom? Stability and manipulation, J. Math. Econ. 40"

    k: Friends = 2

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `BudgetExceededError` if the budget does not cover the affinity."""
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
