"""The neurons with the largest gradient times activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from coterie.methods.arrays import matrix
from coterie.methods.ranking import Ranking
from coterie.tasks.game import Capability

if TYPE_CHECKING:
    from jaxtyping import Float

    from coterie.tasks.game import Game


@dataclass(frozen=True)
class TopGradient(Ranking):
    """Neurons with the largest gradient times activation, in consecutive groups from the top down.

        score_i = |mean over pairs x of g_i(x)|

    with -g_i(x) the derivative of output x with respect to the amount by which neuron i is ablated, with nothing
    ablated. Under zero ablation g_i(x) is the neuron's gradient times its activation, summed over tokens: the
    first-order estimate of its effect, the drop of the output when the neuron is ablated, in units of the output. The
    score measures one neuron at a time, so the groups of `size` neurons show who matters, not who works together. Costs
    two evaluations, a forward and a backward pass.

    Reference: Shrikumar, Greenside, Kundaje (2017), Learning important features through propagating activation
    differences (gradient times input).

    Deviations from the paper: neurons replace inputs; the absolute value is taken after the mean over pairs.
    """

    name = "top-gradient"
    sees = frozenset({Capability.GRADIENTS})
    reference = "Shrikumar, Greenside, Kundaje (2017), DeepLIFT (gradient times input), ICML"

    def scores(self, game: Game) -> Float[np.ndarray, " players"]:
        """Return absolute first-order effects. Raises `ValueError` if one is not finite."""
        effects: Float[np.ndarray, " players"] = matrix("gradients", game.gradients()).mean(axis=0, dtype=np.float64)
        return np.abs(effects)
