"""The neurons of largest integrated gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field

from coterie.methods.arrays import matrix
from coterie.methods.ranking import Ranking
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    from jaxtyping import Float

    from coterie.tasks.game import Game


@dataclass(frozen=True)
class TopIntegratedGradients(Ranking):
    """The neurons of largest integrated gradients, in groups of ``size`` from the top down.

    ``score_i = |mean over pairs x of integral over t in [0, 1] of g_i(x; t)|``, ``g_i(x; t)`` minus the derivative of the
    output in the amount to which neuron i is ablated, where all neurons are ablated by the amount t: the path runs from
    the network as it is to one with the whole layer ablated, and before the absolute value the scores sum to f(all). The
    integral is the mean over ``steps`` midpoints. Looks at one neuron at a time. Costs two evaluations a step.

    Reference: Sundararajan, Taly, Yan (2017), Axiomatic attribution for deep networks.

    Deviations from the paper: neurons of one layer in place of inputs, the ablated layer as the baseline; the absolute
    value is taken after the mean over pairs.
    """

    name = "top-integrated-gradients"
    sees = frozenset({Capability.GRADIENTS})
    reference = "Sundararajan, Taly, Yan (2017), Axiomatic attribution for deep networks, ICML"
    tiny: ClassVar = {"steps": 3}

    steps: Annotated[int, Field(ge=1, description="points of the path, each a pass forward and one back")] = 16

    def scores(self, game: Game) -> Float[np.ndarray, " players"]:
        """Absolute integrated gradients. Raises ``ValueError`` on one that is not finite."""
        total = np.zeros(game.n_players)
        for step in range(self.steps):
            amounts = torch.full((game.n_players,), (step + 0.5) / self.steps)
            total += matrix("gradients", game.gradients(amounts)).mean(axis=0, dtype=np.float64)
        return np.abs(total / self.steps)
