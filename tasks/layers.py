"""Several layers of one reranker, one after the other: each with its discovery game and what links it to its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from coterie.tasks.errors import RerankerError
from coterie.tasks.game import refuse_additive
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.site import Site
from coterie.tasks.task import TaskPlan


@dataclass(frozen=True)
class OpenLayer:
    """One layer's neurons, with LoRA merged: their game, and what they write to and read from the residual stream."""

    layer: int
    game: RerankerGame
    reads: Float[Tensor, "parts players d_model"]  # gate and up rows, or up rows alone
    writes: Float[Tensor, "players d_model"]  # columns of the down projection
    activity: Float[Tensor, " players"]  # mean |activation| over the discovery game's tokens


def open_layers(
    plans: Sequence[TaskPlan], device: str = "cpu", progress: Callable[[str], None] = lambda _step: None
) -> Iterator[OpenLayer]:
    """The layers of plans that differ in their layer alone: the reranker is loaded once, one game is alive at a time.

    The games are those that :func:`coterie.tasks.task.load_task` hands to methods. Raises ``RerankerError`` for a layer
    that the reranker does not have, and for a mixture of experts; ``AdditiveReadoutError`` as ``load_task`` does.
    """
    spec = plans[0].spec
    wanted = [plan.spec.layer for plan in plans]
    progress("loading the reranker")
    reranker = load_reranker(spec.reranker, device, keep_base=wanted if spec.intervention == "base" else [])
    layers = reranker.layers
    if max(wanted) >= len(layers):
        raise RerankerError(f"layers: expected 0 to {len(layers) - 1}, got {max(wanted)}; fix: layers that it has")
    for plan, layer in zip(plans, wanted, strict=True):
        progress(f"running the network up to layer {layer}")
        reads = Site(reranker.row_of(layer), layers[layer], spec.players).read_vectors().float().cpu()
        game = RerankerGame(
            reranker, plan.pairs["discovery"], layer, spec.intervention, spec.readout, players=spec.players
        )
        refuse_additive(game)
        activity = game.activations("tokens").abs().mean(0)
        yield OpenLayer(layer, game, reads, game.write_vectors(), activity)
