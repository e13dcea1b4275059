"""Several layers of one reranker in turn: each with its discovery game and the vectors that link it to its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import RerankerError
from coterie.tasks.game import refuse_additive
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.reranker_task import RerankerTaskPlan
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.site import Site


@dataclass(frozen=True)
class OpenLayer:
    """One layer's neurons, with LoRA merged: their game, and what they write to and read from the residual stream."""

    layer: int
    """Index of the layer, from 0."""

    game: RerankerGame
    """The discovery game."""

    reads: Float[Tensor, "parts players d_model"]
    """What each neuron reads of the MLP's input: its gate and up rows, or only its up row."""

    writes: Float[Tensor, "players d_model"]
    """What each neuron writes: its column of the down projection."""

    activity: Float[Tensor, " players"]
    """The mean absolute activation over the discovery game's tokens."""


def open_layers(
    plans: Sequence[RerankerTaskPlan], device: str = "cpu", progress: Callable[[str], None] = lambda _step: None
) -> Iterator[OpenLayer]:
    """The layers of plans that differ only in their layer. The reranker is loaded once; one game is in memory at a time.

    The games are the same as the discovery games of the loaded tasks. Raises `RerankerError` for a layer that the reranker
    does not have and for a mixture of experts, and `AdditiveReadoutError` if the readout is additive.
    """
    spec = plans[0].spec
    wanted = [plan.spec.layer for plan in plans]
    progress("loading the reranker")
    reranker = load_reranker(spec.reranker, device, keep_base=wanted if spec.intervention == "base" else [])
    layers = reranker.layers
    if max(wanted) >= len(layers):
        raise RerankerError(
            f"layers: expected 0 to {len(layers) - 1}, got {max(wanted)}; fix: layers within this range"
        )
    for plan, layer in zip(plans, wanted, strict=True):
        progress(f"running the network up to layer {layer}")
        reads = Site(reranker.row_of(layer), layers[layer], spec.players).read_vectors().float().cpu()
        site = SiteSpec(layer, spec.intervention, spec.readout, spec.players)
        game = RerankerGame(reranker, plan.pairs["discovery"], site)
        refuse_additive(game)
        activity = game.activations("tokens").abs().mean(0)
        yield OpenLayer(layer, game, reads, game.write_vectors(), activity)
