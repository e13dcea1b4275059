"""The most active neurons."""

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
class TopActivation(Ranking):
    """The neurons of largest mean absolute activation, in groups of ``size`` from the top down.

    ``score_i = mean over tokens of |a_i|``. Looks at one neuron at a time, so the groups say who matters, not who works
    together. Costs one evaluation.

    Reference: the usual top-k baseline of neuron attribution.

    Deviations from the paper: no paper to deviate from.
    """

    name = "top-activation"
    sees = frozenset({Capability.ACTIVATIONS})
    reference = "coterie: top-k by activation, the usual baseline of neuron attribution"

    def scores(self, game: Game) -> Float[np.ndarray, " players"]:
        """Mean absolute activation over tokens. Raises ``ValueError`` on one that is not finite."""
        activations = matrix("activations", game.activations())
        means: Float[np.ndarray, " players"] = np.abs(activations).mean(axis=0, dtype=np.float64)
        return means
