"""The game of a reranker: the MLP neurons of one layer are the players, one score per query-document pair the outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, final

import numpy as np

from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.game import Capability, Game, Intervention, Meter, Pooling, Readout
from coterie.tasks.memory import DEFAULT_TOKENS

if TYPE_CHECKING:
    from torch import Tensor

    from coterie.tasks.lens import Lens
    from coterie.tasks.rerankers.reranker import Reranker


@final
class RerankerGame(Game):
    """Ablations of one layer of a reranker over fixed query-document pairs.

    ``pairs`` come query by query; ``query_of_pair`` [pairs] gives each one's query as 0, 1, ... in that order.
    Pass the discovery game's ``mean_activations`` on to the games it is compared with (intervention ``mean``).
    """

    def __init__(
        self,
        reranker: Reranker,
        pairs: Sequence[Candidate],
        layer: int,
        intervention: Intervention = "zero",
        readout: Readout = "score",
        mean_activations: Tensor | None = None,
        tokens_at_once: int = DEFAULT_TOKENS,
        players: str = "neurons",
    ) -> None:
        self._engine = ReplayEngine(
            reranker, pairs, layer, intervention, readout, mean_activations, tokens_at_once, players
        )
        self._reranker = reranker
        self.pairs = tuple(pairs)
        self.query_ids = list(dict.fromkeys(p.query_id for p in pairs))
        position = {q: i for i, q in enumerate(self.query_ids)}
        self.query_of_pair = np.array([position[p.query_id] for p in pairs])
        self.n_players, self.n_outputs = self._engine.n_players, len(self.pairs)
        lacking = set() if self._engine.has_lens else {Capability.LENS}
        lacking |= set() if self._engine.has_write_vectors else {Capability.WEIGHTS}
        self.capabilities = frozenset(Capability) - lacking
        self.meter = Meter()

    @property
    def scores(self) -> Tensor:
        """The reranker's own final logits [pairs], nothing ablated, whatever the readout is."""
        return self._engine.scores

    @property
    def mean_activations(self) -> Tensor:
        """Mean activation of each player over this game's tokens [players]."""
        return self._engine.mean_activations

    def activations_by_pair(self) -> Iterator[tuple[int, Tensor]]:
        """Position of each pair in ``pairs``, in no order, with the activations [tokens, players] of its tokens in order.

        One evaluation, in the model's dtype, a batch in memory at a time. Where no later layer mixes tokens (the last
        layer, or the readout ``lens``) that is the pooled token alone. ``token_ids`` and ``token_strings`` are in step with it.
        """
        self.meter.charge(Capability.ACTIVATIONS, 1)
        return self._engine.activations_by_pair()

    def token_ids(self) -> list[list[int]]:
        """The ids of each pair's tokens that :meth:`activations_by_pair` tells of, by position of the pair."""
        return [self._engine.kept(row) for row in self.all_token_ids()]

    def all_token_ids(self) -> list[list[int]]:
        """The ids of all tokens of each pair."""
        return self._reranker.encode(self.pairs)

    def token_strings(self, ids: Sequence[int]) -> list[str]:
        """What each token stands for, see :meth:`coterie.tasks.rerankers.reranker.Reranker.token_strings`."""
        return self._reranker.token_strings(ids)

    def _ablate(self, masks: Tensor) -> Tensor:
        return self._engine.outputs(masks)

    def _activations(self, pooling: Pooling) -> Tensor:
        return self._engine.activations(pooling)

    def _gradients(self, amounts: Tensor | None) -> Tensor:
        return self._engine.gradients(amounts)

    def _hessian_products(self, directions: Tensor) -> Tensor:
        return self._engine.hessian_products(directions)

    def _lens(self) -> Lens:
        return self._engine.lens()

    def _write_vectors(self) -> Tensor:
        return self._engine.write_vectors()
