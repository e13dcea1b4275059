"""Hedonic coalitions on pairwise ablation synergy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from coterie.methods.affinity import AffinitySees, get_affinity
from coterie.methods.hedonic_pac import PacTopCoverMethod

if TYPE_CHECKING:
    import numpy as np

    from coterie.methods.coalitions import Coalitions
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class HedonicPas(PacTopCoverMethod):
    """Coalitions that are PAC-stable when every neuron seeks its k best friends by pairwise ablation synergy.

    ``phi_ij = psi_ij = f({i,j}) - f({i}) - f({j})``, ``f(A) = E_x[s(x) - s(x; A ablated)]``, as exactly as ``affinity``
    says; the rest as :class:`coterie.methods.hedonic_oca.HedonicOca`.

    ``affinity``: ``pas-hessian`` (default) is the second-order synergy at the task's own readout; any budget from 40
    evaluations on covers a sketch of it, 4 evaluations a neuron the whole of it, and the notes have rank and error.
    ``pas`` is exact for ``n (n - 1) / 2 + n + 1`` evaluations. ``pas-lens`` and ``pas-lens-hessian`` cost one evaluation
    whatever n is, at the lens readout: what later layers make of the neurons is not in them. ``pas-outer`` is the public
    code's product of first-order effects.

    Reference: Chowdhury, Nijasure, Zick, Allan (2026); Sliwinski & Zick (2017), Learning hedonic games, IJCAI.

    Deviations from the paper: those of hedonic-oca; the sign of psi is such that synergy is positive.
    """

    name = "hedonic-pas"
    sees = AffinitySees()
    reference = "Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684"
    tiny: ClassVar = {"samples": 60}

    affinity: Annotated[
        Literal["pas", "pas-hessian", "pas-lens", "pas-lens-hessian", "pas-outer"],
        Field(description="which form of the synergy"),
    ] = "pas-hessian"

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``BudgetExceededError`` where the budget does not cover the affinity."""
        phi, notes = get_affinity(self.affinity).measure(game, budget)
        return self.partition(phi, rng, **notes)
