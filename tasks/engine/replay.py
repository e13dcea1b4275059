"""The ablation engine: run the network up to the site once, keep its residual stream, replay only what comes after.

For a set A of neurons of layer L the residual stream after that layer changes by a sum over A alone,

    h(A) = h - sum_{j in A} (a_j u_j - b_j v_j),

with `a_j` the activation and `u_j` the write vector of neuron j, and `b_j v_j` what the intervention puts in its place:
nothing (`zero`), the mean activation times `u_j` (`mean`), or the neuron before LoRA (`base`, with the base's gate row, up
row and down column of neuron j). Neurons are ablated at every token.

The engine stores what a neuron takes away as rows of activations `z` and vectors `w`: (a_j, u_j), (a_j - mean, u_j), or
the two rows (a_j, u_j) and (-b_j, v_j). So `h` and `z` are computed once, a mask costs only its own rows, and only the
layers after L are replayed. If their layout is known, they are replayed only over distinct tokens, and the last one only at
the last token (`rotary_layer.py`), in a low-rank form if it follows the site (`last_layer.py`).

Padding is on the right and attention is causal, so padded positions never reach a real token: no padding mask is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.ablations import Ablations
from coterie.tasks.engine.activations import activations_by_pair, pooled_activations
from coterie.tasks.engine.derivatives import Derivatives
from coterie.tasks.engine.layout import DEFAULT_TOKENS
from coterie.tasks.engine.lens_terms import lens_of, supports_lens
from coterie.tasks.engine.prefix import run_prefix
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import RerankerError
from coterie.tasks.game import Pooling
from coterie.tasks.lens import Lens
from coterie.tasks.rerankers.reranker import Reranker
from coterie.tasks.rerankers.site import Site


class ReplayEngine:
    """Outputs of one reranker on fixed pairs under ablations of one layer's players.

    Memory: the cache holds `pairs x tokens x (2 d_model + players)` numbers (twice the players for `base`); a replay adds a
    few arrays of `tokens x d_model`, bounded by `tokens_at_once` whatever the number of masks (`tasks/memory.py`).

    Raises `ValueError` for a layer, intervention or kind of players that the reranker does not have, `RerankerError` for a
    readout that it does not have or scores that are not finite, and `EngineError` if a replay does not reproduce its scores.
    """

    def __init__(
        self,
        reranker: Reranker,
        pairs: Sequence[Candidate],
        site: SiteSpec,
        tokens_at_once: int = DEFAULT_TOKENS,
    ) -> None:
        self._site = _site(reranker, site)
        self._prefix = run_prefix(reranker, pairs, site, self._site, tokens_at_once)
        self._ablations = Ablations(self._prefix, tokens_at_once)
        self._derivatives = Derivatives(self._prefix, tokens_at_once)
        self.n_players, self.n_pairs = self._site.n_players, len(pairs)

    @property
    def scores(self) -> Float[Tensor, " pairs"]:
        """The model's own scores with nothing ablated, whatever the readout, on the CPU."""
        return self._prefix.scores

    @property
    def mean_activations(self) -> Float[Tensor, " neurons"]:
        """The mean activation of each neuron over the tokens, or the means of the specification."""
        return self._prefix.mean_activations

    def outputs(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m pairs"]:
        """The outputs with each mask ablated, in the model's dtype, on the CPU."""
        return self._ablations.outputs(masks)

    def activations(self, pooling: Pooling) -> Float[Tensor, "rows players"]:
        """Activations as float32, one row per real token, or per pair: the mean over its tokens, or its last token's."""
        return pooled_activations(self._prefix, pooling)

    def activations_by_pair(self) -> Iterator[tuple[int, Float[Tensor, "tokens players"]]]:
        """Each pair's row in the outputs and the activations at its real tokens in order, in the model's dtype."""
        return activations_by_pair(self._prefix)

    def kept_tokens(self, ids: list[int]) -> list[int]:
        """The ids of those tokens of a pair whose activations are kept: all, or only the pooled one."""
        return self._prefix.after.kept_tokens(ids)

    def gradients(self, amounts: Float[Tensor, " players"] | None) -> Float[Tensor, "pairs players"]:
        """Derivatives of each output with respect to the amounts of ablation, at `amounts`, float32 on the CPU."""
        return self._derivatives.gradients(amounts)

    def hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        """The Hessian of the mean output with respect to the amounts, times each direction, float32 on the CPU."""
        return self._derivatives.hessian_products(directions)

    @property
    def has_lens(self) -> bool:
        """Whether `lens` is available."""
        return supports_lens(self._prefix)

    def lens(self) -> Lens:
        """The terms of the lens readout at the layer, on the CPU, in the model's dtype."""
        return lens_of(self._prefix)

    @property
    def has_write_vectors(self) -> bool:
        """Whether each player writes along a single vector; experts do not."""
        return self._site.one_row_each

    def write_vectors(self) -> Float[Tensor, "players d_model"]:
        """The players' columns of the down projection, float32, on the CPU."""
        return self._site.w[: self._site.own_rows].float().cpu()


def _site(reranker: Reranker, spec: SiteSpec) -> Site:
    """The players of the specified layer. Raises `ValueError` or `RerankerError` if the reranker does not have them."""
    layers, layer = reranker.layers, spec.layer
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer: expected 0 to {len(layers) - 1}, got {layer}; fix: a layer within this range")
    base = reranker.base_mlp.get(layer) if spec.intervention == "base" else None
    if spec.intervention == "base" and not base:
        raise ValueError(
            f"intervention: expected 'zero' or 'mean' at layer {layer}, whose MLP has no LoRA update to revert, got 'base'; "
            f"fix: 'zero' or 'mean'"
        )
    row = reranker.row_of(layer)
    if spec.readout == "lens" and row.pooled == "decoder":
        raise RerankerError(
            "readout: expected 'score' at a layer of the encoder, got 'lens': its final norm and head are the decoder's; "
            "fix: readout 'score', or a layer of the decoder"
        )
    return Site(row, layers[layer], spec.players, base)
