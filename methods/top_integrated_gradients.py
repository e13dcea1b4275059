"""The neurons with the largest integrated gradients."""

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
    """Neurons with the largest integrated gradients, in consecutive groups from the top down.

        score_i = |mean over pairs x of the integral of g_i(x; t) over t from 0 to 1|

    with -g_i(x; t) the derivative of output x with respect to the amount by which neuron i is ablated, with all neurons
    ablated by the amount t. The path runs from the intact network (t = 0) to the one with the whole layer ablated
    (t = 1); before the absolute value, the scores sum to the effect of ablating the whole layer. The integral is
    approximated by the mean over `steps` midpoints. The score measures one neuron at a time, so the groups of `size`
    neurons show who matters, not who works together. Costs two evaluations per step.

    Reference: Sundararajan, Taly, Yan (2017), Axiomatic attribution for deep networks.

    Deviations from the paper: neurons of one layer replace inputs, with the ablated layer as the baseline; the absolute
    value is taken after the mean over pairs.
    """

    name = "top-integrated-gradients"
    sees = frozenset({Capability.GRADIENTS})
    reference = "Sundararajan, Taly, Yan (2017), Axiomatic attribution for deep networks, ICML"
    tiny: ClassVar = {"steps": 3}

    steps: Annotated[int, Field(ge=1, description="points on the path, each a forward and a backward pass")] = 16

    def scores(self, game: Game) -> Float[np.ndarray, " players"]:
        """Return absolute integrated gradients. Raises `ValueError` if one is not finite."""
        total = np.zeros(game.n_players)
        for step in range(self.steps):
            amounts = torch.full((game.n_players,), (step + 0.5) / self.steps)
            total += matrix("gradients", game.gradients(amounts)).mean(axis=0, dtype=np.float64)
        return np.abs(total / self.steps)
