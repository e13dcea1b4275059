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
    """Neurons with the largest mean absolute activation, in consecutive groups from the top down.

        score_i = mean over tokens of |a_i|

    with a_i the activation of neuron i. The score measures one neuron at a time, so the groups of `size` neurons show
    who matters, not who works together. Costs one evaluation.

    Reference: the usual top-k baseline of neuron attribution.

    Deviations from the paper: none; it is not from a paper.
    """

    name = "top-activation"
    sees = frozenset({Capability.ACTIVATIONS})
    reference = "coterie: top-k by activation, the usual baseline of neuron attribution"

    def scores(self, game: Game) -> Float[np.ndarray, " players"]:
        """Return mean absolute activations over tokens. Raises `ValueError` if one is not finite."""
        activations = matrix("activations", game.activations())
        means: Float[np.ndarray, " players"] = np.abs(activations).mean(axis=0, dtype=np.float64)
        return means
