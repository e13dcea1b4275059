"""The neurons of largest gradient times activation."""

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
    """The neurons of largest gradient times activation, in groups of ``size`` from the top down.

    ``score_i = |mean over pairs x of g_i(x)|``, ``g_i`` minus the derivative of the output in the amount to which neuron i
    is ablated, at none: under zero ablation its gradient times its activation, summed over tokens, and the first-order
    estimate of the effect f({i}), in units of the output. Looks at one neuron at a time, so the groups say who matters,
    not who works together. Costs two evaluations, one pass forward and one back.

    Reference: Shrikumar, Greenside, Kundaje (2017), Learning important features through propagating activation differences
    (gradient times input).

    Deviations from the paper: neurons in place of inputs; the absolute value is taken after the mean over pairs.
    """

    name = "top-gradient"
    sees = frozenset({Capability.GRADIENTS})
    reference = "Shrikumar, Greenside, Kundaje (2017), DeepLIFT (gradient times input), ICML"

    def scores(self, game: Game) -> Float[np.ndarray, " players"]:
        """Absolute first-order effects. Raises ``ValueError`` on one that is not finite."""
        effects: Float[np.ndarray, " players"] = matrix("gradients", game.gradients()).mean(axis=0, dtype=np.float64)
        return np.abs(effects)
