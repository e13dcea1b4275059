"""What a game ablates and reads: one layer of a reranker, its players, the intervention and the readout."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from coterie.tasks.game import Intervention, Readout


@dataclass(frozen=True, eq=False)
class SiteSpec:
    """The place in a reranker where players are ablated, and how."""

    layer: int
    """Index of the layer, from 0."""

    intervention: Intervention = "zero"
    """What replaces an ablated player: nothing (`zero`), its mean activation (`mean`) or itself before LoRA (`base`)."""

    readout: Readout = "score"
    """The output: the model's final logit (`score`), or final norm and head right after the layer (`lens`)."""

    players: str = "neurons"
    """`neurons`; in a mixture of experts `experts`, or `expert:3` for the neurons of one expert."""

    mean_activations: Float[Tensor, " neurons"] | None = None
    """The means for intervention `mean`, such as the discovery game's; None for those over the game's own tokens."""
