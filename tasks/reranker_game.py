"""The game of a reranker: the MLP neurons of one layer are the players, one score per query-document pair the outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, final

import numpy as np

from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.layout import DEFAULT_TOKENS
from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.game import Capability, Meter, Pooling
from coterie.tasks.query_game import QueryGame

if TYPE_CHECKING:
    from torch import Tensor

    from coterie.tasks.lens import Lens
    from coterie.tasks.rerankers.reranker import Reranker


@final
class RerankerGame(QueryGame):
    """Ablations of one layer of a reranker over fixed query-document pairs, which come query by query.

    With intervention `mean`, pass the discovery game's `mean_activations` on to the games that it is compared with.

    Raises the errors of `ReplayEngine`.
    """

    def __init__(
        self,
        reranker: Reranker,
        pairs: Sequence[Candidate],
        site: SiteSpec,
        tokens_at_once: int = DEFAULT_TOKENS,
    ) -> None:
        self._engine = ReplayEngine(reranker, pairs, site, tokens_at_once)
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
        """The reranker's own final logits [pairs] with nothing ablated, whatever the readout."""
        return self._engine.scores

    @property
    def mean_activations(self) -> Tensor:
        """The mean activation of each neuron over this game's tokens, or the means of the specification [neurons]."""
        return self._engine.mean_activations

    def activations_by_pair(self) -> Iterator[tuple[int, Tensor]]:
        """The position of each pair in `pairs`, in any order, with the activations [tokens, players] of its tokens in order.

        One evaluation, in the model's dtype, one batch in memory at a time. If no later layer mixes tokens (the last layer,
        or the readout `lens`), only the pooled token has activations. `token_ids` returns the ids of the same tokens.
        """
        self.meter.charge(Capability.ACTIVATIONS, 1)
        return self._engine.activations_by_pair()

    def token_ids(self) -> list[list[int]]:
        """The ids of the tokens in `activations_by_pair`, by position of the pair."""
        return [self._engine.kept_tokens(ids) for ids in self.all_token_ids()]

    def all_token_ids(self) -> list[list[int]]:
        """The ids of all tokens of each pair."""
        return self._reranker.encode(self.pairs)

    def token_strings(self, ids: Sequence[int]) -> list[str]:
        """The text of each token; see `Reranker.token_strings`."""
        return self._reranker.token_strings(ids)

    def _inputs(self) -> list[tuple[int, ...]]:
        return [tuple(ids) for ids in self.all_token_ids()]

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
