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

    The affinity of neurons i and j is their synergy

        psi_ij = f({i, j}) - f({i}) - f({j})   with   f(A) = mean over pairs x of s(x) - s(x; A ablated)

    with s(x) the output for query-document pair x, so that f(A) is the effect of a set A of neurons. Synergy is
    positive for neurons that have more effect together than apart. The partition follows from psi as in hedonic-oca.

    The parameter `affinity` chooses how psi is measured:

    - `pas-hessian` (the default) is the second-order part of psi at the task's own readout. A budget of 4 evaluations
      per neuron covers all of it; a smaller one of at least 40 evaluations covers a sketch, whose rank and error are in
      the notes.
    - `pas` is exact and takes n (n - 1) / 2 + n + 1 evaluations for n neurons.
    - `pas-lens` and `pas-lens-hessian` cost one evaluation for any n. They use the lens readout, which leaves out what
      later layers do with the neurons.
    - `pas-outer` is the public code's product of first-order effects.

    Reference: Chowdhury, Nijasure, Zick, Allan (2026); Sliwinski & Zick (2017), Learning hedonic games, IJCAI.

    Deviations from the paper: those of hedonic-oca; the sign of psi is chosen so that synergy is positive.
    """

    name = "hedonic-pas"
    sees = AffinitySees()
    reference = "Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684"
    tiny: ClassVar = {"samples": 60}

    affinity: Annotated[
        Literal["pas", "pas-hessian", "pas-lens", "pas-lens-hessian", "pas-outer"],
        Field(description="form of the synergy"),
    ] = "pas-hessian"

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `BudgetExceededError` if the budget does not cover the affinity."""
        phi, notes = get_affinity(self.affinity).measure(game, budget)
        return self.partition(phi, rng, **notes)
