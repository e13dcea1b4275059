"""The ablation engine: run the network before the site once, keep its residual stream, replay only what comes after.

For a set A of neurons of layer L the residual stream after that layer changes by a sum over A alone,

    h(A) = h - sum_{j in A} (a_j u_j - b_j v_j),

with ``a_j`` the activation and ``u_j`` the write vector of neuron j, and ``b_j v_j`` what the intervention puts in its
place: nothing (``zero``), the mean activation times ``u_j`` (``mean``), or the neuron as it was before LoRA (``base``:
activation from its own base gate and up rows, write vector = its base down column). Neurons are ablated at every token.
The engine keeps what a neuron takes away as rows of activations ``z`` and vectors ``w``: (a_j, u_j), (a_j - mean, u_j),
or the two rows (a_j, u_j) and (-b_j, v_j). So ``h`` and ``z`` are computed once, a mask costs its own rows, and layers
L+1 to the last are all that is replayed, where their layout is known over distinct tokens alone, and of the last one
only the last token's part (:mod:`coterie.tasks.engine.rotary_layer`), in a low-rank form where it follows the site
(:mod:`coterie.tasks.engine.last_layer`).

Padding is on the right and attention is causal, so padded positions never reach a real token: no padding mask is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.last_layer import LowRankLastLayer
from coterie.tasks.engine.layer_arguments import arguments_of, attends_to_all, picked, repeated
from coterie.tasks.engine.replay_batch import Batch, Part
from coterie.tasks.engine.rotary_layer import RotaryLayers
from coterie.tasks.engine.threads import evenly, for_each
from coterie.tasks.engine.tokens import Tokens, in_batches, shared
from coterie.tasks.errors import EngineError, RerankerError
from coterie.tasks.game import Intervention, Pooling, Readout
from coterie.tasks.lens import Lens, folded, has_lens
from coterie.tasks.memory import DEFAULT_TOKENS
from coterie.tasks.rerankers.architectures import Architecture, row_of_layer
from coterie.tasks.rerankers.reranker import Reranker
from coterie.tasks.rerankers.samples import rounding
from coterie.tasks.rerankers.site import Site, first
from coterie.tasks.rerankers.tail import Tail
from coterie.tasks.rerankers.template import Inputs

_ROWS = 1024  # players whose derivatives at every token are in memory at once
_CACHED_TOKENS = 1536  # of these, by a thread: its arrays stay in the processor's cache (measured on small rerankers)

_WORTH_A_LOW_RANK_FORM = 8  # masks asked for at once: games that are hardly ever ablated do without its memory


class ReplayEngine:
    """Outputs of one reranker on fixed pairs under ablations of one layer's neurons.

    Memory: the cache holds ``pairs x tokens x (2 d_model + players)`` numbers (twice the players for ``base``); a replay
    adds a few arrays of ``tokens x d_model``, bounded by ``tokens_at_once`` whatever the number of masks is
    (:mod:`coterie.tasks.memory`).
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
        model, layers = reranker.model, reranker.layers
        if not 0 <= layer < len(layers):
            raise ValueError(f"layer: expected 0 to {len(layers) - 1}, got {layer}")
        if intervention == "base" and not reranker.base_mlp.get(layer):
            raise ValueError(
                "intervention 'base' reverts the LoRA update of an MLP, and this reranker has none there; "
                "fix: 'zero' or 'mean'"
            )
        self._row: Architecture = reranker.row_of(layer)
        _refuse_lens_of_encoder(readout, self._row)
        base = reranker.base_mlp[layer] if intervention == "base" else None
        self._site = Site(self._row, layers[layer], players, base)
        self._model, self._tokens = model, tokens_at_once
        self._piece = _piece(tokens_at_once, self._site.w.device)
        own = [m for i, m in enumerate(layers) if row_of_layer(model, reranker.row, i) is self._row]
        after_site = own[own.index(layers[layer]) + 1 :]
        self._later = after_site if readout == "score" else []
        self._is_last = not after_site
        layout = self._row.rotary if self._later else None
        self._rotary = None if layout is None else RotaryLayers.of(layout, self._later)
        self._tail = Tail(reranker, self._row)
        self._keeps_tokens = bool(self._later) or self._tail.mixes_tokens
        self._in_decoder = reranker.row.decoder is not None and self._row.decoder is None
        self._w, write = self._site.w, self._site.w[: self._site.own_rows]
        self._owner = self._site.owner
        self.n_players, self.n_pairs = self._site.n_players, len(pairs)
        self.scores = torch.empty(len(pairs), dtype=write.dtype)  # the model's own, nothing ablated
        alike = self._rotary is not None and len(self._later) > 1  # else no token is replayed that others share
        inputs = reranker.inputs(pairs)
        self._batches = [
            self._prefix(reranker, [(i, inputs[i]) for i, _ in rows])
            for rows in in_batches([one.tokens for one in inputs], tokens_at_once, alike)
        ]
        self.mean_activations = self._mean() if mean_activations is None else mean_activations.to(write)
        self._offset = self.mean_activations if intervention == "mean" else torch.zeros_like(write[:, 0])
        for batch in self._batches:
            batch.z[: self._site.own_rows] -= self._offset[:, None]

    @torch.no_grad()
    def outputs(self, masks: Bool[Tensor, "m players"]) -> Float[Tensor, "m pairs"]:
        """Outputs [m, pairs] with each mask [m, players] ablated, in the model's dtype, on the CPU."""
        results = torch.empty(len(masks), self.n_pairs, dtype=self._w.dtype)
        groups = [mask[self._owner].nonzero()[:, 0] for mask in masks.to(self._w.device)]
        if len(masks) >= _WORTH_A_LOW_RANK_FORM:
            self._add_low_rank()
        pieces: list[tuple[Batch, Part, list[int]]] = []
        for batch in self._batches:
            form, at_once = batch.low_rank, max(1, self._tokens // batch.residual[..., 0].numel())
            large = [i for i, rows in enumerate(groups) if form is None or not form.pays(len(rows))]
            if form is not None:
                small = sorted(set(range(len(groups))) - set(large))
                for chunk in _chunks(small, 64 * at_once):
                    final = form.outputs([groups[i] for i in chunk])
                    results[torch.tensor(chunk)[:, None], batch.rows] = self._tail.of_token(final).cpu()
            for part in batch.parts:
                pieces += [(batch, part, chunk) for chunk in evenly(large, self._piece // len(part.columns))]

        @torch.no_grad()  # which a thread does not have from another
        def work(piece: tuple[Batch, Part, list[int]]) -> None:
            batch, part, chunk = piece
            hidden = torch.stack([self._ablated(batch, part, groups[i]) for i in chunk])
            outputs = self._replay(hidden, batch, part.tokens).cpu()
            results[torch.tensor(chunk)[:, None], batch.rows[part.pairs]] = outputs

        for_each(pieces, work, self._w.device)
        return results

    def activations(self, pooling: Pooling) -> Float[Tensor, "rows players"]:
        """Activations of real tokens [tokens, players], or by pair [pairs, players]: their mean, or the last token's."""
        tokens = sum(int(self._kept_lengths(b).sum()) for b in self._batches)
        rows, filled = torch.empty(tokens if pooling == "tokens" else self.n_pairs, self.n_players), 0
        for row, own in self.activations_by_pair():
            if pooling == "tokens":
                rows[filled : filled + len(own)] = own
                filled += len(own)
            else:
                rows[row] = own.mean(0) if pooling == "mean" else own[-1]
        return rows

    def activations_by_pair(self) -> Iterator[tuple[int, Float[Tensor, "tokens players"]]]:
        """Each pair's row in the outputs and the activations of its real tokens in order, in the model's dtype."""
        for batch in self._batches:
            real = self._averaged(self._real(batch) + self._offset)
            yield from zip(batch.rows.tolist(), real.split(self._kept_lengths(batch).tolist()), strict=True)

    def kept(self, tokens: list[int]) -> list[int]:
        """Those of a pair's tokens that activations are kept of: all, or the pooled one where no later layer mixes tokens.

        In a decoder that is the token that it starts with.
        """
        if self._in_decoder:
            return [int(self._model.config.decoder_start_token_id)]
        if self._keeps_tokens:
            return tokens
        return tokens[-1:] if self._row.pooled == "last" else tokens[:1]

    def gradients(self, amounts: Float[Tensor, " players"] | None) -> Float[Tensor, "pairs players"]:
        """Derivatives of the outputs in the amounts of ablation, at `amounts`, float32 on the CPU.

        ``d s / d amount_j = - sum_t z_jt (w_j . d s / d h_t)``: one pass back through the replayed layers.
        """
        result = torch.empty(self.n_pairs, self.n_players)
        for batch in self._pieces():
            _, gradient = self._differentiated(batch, amounts)
            slopes = [
                (w @ gradient.flatten(0, 1).T).mul_(z).unflatten(1, gradient.shape[:2]).sum(-1)
                for w, z in zip(self._w.split(_ROWS), batch.z.split(_ROWS), strict=True)
            ]
            result[batch.rows] = -self._by_player(torch.cat(slopes)).T.float().cpu()
        return result

    def hessian_products(self, directions: Float[Tensor, "m players"]) -> Float[Tensor, "m players"]:
        """The Hessian of the mean output in the amounts of ablation, times each direction, float32 on the CPU.

        The chain rule through ``h = h_0 - sum_j amount_j z_j w_j``, twice: no array of players x players is made.
        """
        result = torch.zeros(len(directions), self.n_players, dtype=torch.float64)
        for batch in self._pieces():
            hidden, gradient = self._differentiated(batch, None, again=True)
            for row, direction in zip(result, directions.to(self._w), strict=True):
                step = -(batch.z.T * self._by_row(direction)) @ self._w
                (change,) = torch.autograd.grad(
                    gradient, hidden, step.view_as(gradient), retain_graph=True, materialize_grads=True
                )
                slopes = ((batch.z @ change.flatten(0, 1)) * self._w).sum(-1, dtype=torch.float64)
                row -= self._by_player(slopes).cpu()
        return (result / self.n_pairs).float()

    @property
    def has_lens(self) -> bool:
        """Whether :meth:`lens` can tell the lens readout."""
        plain = self._site.one_row_each and not (self._row.branch_norm or self._row.sum_norm)
        after = self._tail.modules
        return plain and not self._tail.mixes_tokens and len(after) == 2 and has_lens(*after)

    def lens(self) -> Lens:
        """What the lens readout of the layer is made of, on the CPU, in the model's dtype."""
        parts = len(self._w) // self.n_players
        residual = torch.empty(self.n_pairs, self._w.shape[1], dtype=self._w.dtype)
        taken = torch.empty(parts, self.n_pairs, self.n_players, dtype=self._w.dtype)
        for batch in self._batches:
            at_last = torch.arange(len(batch.last), device=batch.last.device), batch.last
            residual[batch.rows] = batch.residual[at_last].cpu()
            z = batch.z.view(parts, self.n_players, *batch.residual.shape[:2])[:, :, *at_last]
            taken[:, batch.rows] = z.transpose(1, 2).cpu()
        head, epsilon = folded(*self._tail.modules)
        writes = self._w.view(parts, self.n_players, -1).cpu()
        return Lens(residual, taken, writes, head.cpu(), epsilon)

    def write_vectors(self) -> Float[Tensor, "players d_model"]:
        """Columns of the down projection [players, d_model], float32."""
        return self._w[: self._site.own_rows].float().cpu()

    @property
    def has_write_vectors(self) -> bool:
        """Whether a player writes along one vector: an expert does not."""
        return self._site.one_row_each

    @torch.no_grad()
    def _prefix(self, reranker: Reranker, rows: list[tuple[int, Inputs]]) -> Batch:
        """One plain forward of some pairs, keeping what the replay needs; checks that the replay gives the same scores."""
        with self._site.watched() as seen, arguments_of(self._later) as arguments:
            scores = reranker.logits([one for _, one in rows])
        if not scores.isfinite().all():
            raise RerankerError(
                f"the model's own scores are not finite in {scores.dtype}; fix: a dtype with a larger range (bfloat16, float32)"
            )
        self.scores[[row for row, _ in rows]] = scores.to(self.scores).cpu()
        (residual, skip), z = self._site.stream(seen), self._site.taken_away(seen)
        lengths = torch.tensor([1 if self._in_decoder else len(one.ids) for _, one in rows], device=residual.device)
        last = lengths - 1 if self._row.pooled == "last" else torch.zeros_like(lengths)
        if not self._keeps_tokens:  # nothing later mixes tokens: only the pooled one reaches the output
            pick = (torch.arange(len(rows), device=residual.device), last)
            residual, z = residual[pick][:, None], z[pick][:, None]
            skip = None if skip is None else skip[pick][:, None]
            last = torch.zeros_like(last)
        residual = residual.contiguous()
        if self._rotary is not None and attends_to_all(arguments):
            parts = [self._part(residual, *run) for run in shared([one.tokens for _, one in rows], self._piece)]
        else:
            parts = [self._part(residual, slice(0, len(rows)), Tokens.every(last, residual.shape[1]))]
        batch = Batch(
            rows=torch.tensor([row for row, _ in rows]),
            last=last,
            lengths=lengths,
            residual=residual,
            skip=skip,
            z=z.flatten(0, 1).T.contiguous(),
            layer_arguments=arguments,
            parts=parts,
        )
        if self._reaches_output():
            self._check_replay(batch, scores)
        return batch

    def _reaches_output(self) -> bool:
        return bool(self._later) or self._is_last

    @staticmethod
    def _part(residual: Tensor, pairs: slice, tokens: Tokens) -> Part:
        tokens = tokens.to(residual.device)
        columns = tokens.columns(pairs.start, residual.shape[1])
        return Part(pairs, tokens, columns, residual.flatten(0, 1)[columns])

    def _check_replay(self, batch: Batch, scores: Tensor) -> None:
        copies = 1 if self._rotary else 2  # of which each must get its own pairs' arguments
        replayed = torch.cat(
            [self._replay(part.residual.repeat(copies, 1, 1), batch, part.tokens) for part in batch.parts], dim=1
        )
        error, scale = (replayed - scores).abs().max().item(), scores.abs().max().item()
        if not error <= rounding(scores, self._tail.modules[-1], self._w.dtype):
            raise EngineError(
                f"replaying the layers after the site gives scores that differ by {error:.1e} from the model's own "
                f"(largest {scale:.1e}); expected equal; fix: check the row of {self._model.config.model_type!r} "
                f"in tasks/rerankers/architectures.py"
            )

    def _by_row(self, values: Tensor) -> Tensor:
        """Values [players] for the rows of (z, w)."""
        return values[self._owner]

    def _by_player(self, values: Tensor) -> Tensor:
        """Values [rows, ...] of (z, w) added up by player."""
        return values.new_zeros(self.n_players, *values.shape[1:]).index_add_(0, self._owner, values)

    def _averaged(self, activations: Tensor) -> Tensor:
        """Activations [tokens, own rows] by player: an expert's is the mean of its neurons'."""
        if self._site.one_row_each:
            return activations
        return activations.unflatten(-1, (self.n_players, -1)).mean(-1)

    def _pieces(self) -> Iterator[Batch]:
        """The batches in pieces of fewer pairs: a pass back keeps many arrays of tokens x d_model."""
        for batch in self._batches:
            pairs, tokens = batch.residual.shape[:2]
            for part in torch.arange(pairs, device=batch.last.device).split(max(1, self._tokens // (8 * tokens))):
                yield Batch(
                    rows=batch.rows[part.cpu()],
                    last=batch.last[part],
                    lengths=batch.lengths[part],
                    residual=batch.residual[part],
                    skip=None if batch.skip is None else batch.skip[part],
                    z=batch.z.view(-1, pairs, tokens)[:, part].flatten(1),
                    layer_arguments=[picked(one, pairs, part) for one in batch.layer_arguments],
                    parts=[],
                )

    def _differentiated(self, batch: Batch, amounts: Tensor | None, again: bool = False) -> tuple[Tensor, Tensor]:
        """The residual stream after the site at `amounts`, and the derivative of the pairs' outputs in it."""
        hidden = batch.residual
        if amounts is not None:
            hidden = hidden - ((batch.z.T * self._by_row(amounts.to(self._w))) @ self._w).view_as(hidden)
        hidden = hidden.detach().requires_grad_()
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
            tokens = Tokens.every(batch.last, hidden.shape[1])
            outputs = self._replay(hidden.flatten(0, 1)[None], batch, tokens)
            (gradient,) = torch.autograd.grad(outputs.sum(), hidden, create_graph=again)
        return hidden, gradient

    def _ablated(self, batch: Batch, part: Part, rows: Tensor) -> Tensor:
        """The residual stream [distinct, d_model] after the layer without these rows."""
        return torch.addmm(part.residual, batch.z[rows].index_select(1, part.columns).T, self._w[rows], alpha=-1)

    def _add_low_rank(self) -> None:
        """Give every batch its low-rank form where there is one."""
        layer = None if self._rotary is None else self._rotary.last
        if layer is None or len(self._later) != 1 or not layer.has_low_rank_form:
            return
        for i, b in enumerate(self._batches):
            if b.low_rank is None and attends_to_all(b.layer_arguments):
                rotary = b.layer_arguments[0][1]["position_embeddings"]
                form = LowRankLastLayer(layer, b.residual, b.last, b.z, self._w, rotary)
                self._batches[i] = replace(b, low_rank=form)

    def _replay(self, hidden: Tensor, batch: Batch, tokens: Tokens) -> Tensor:
        """Outputs [m, pairs] from the residual stream after the site [m, distinct, d_model]."""
        arguments = batch.layer_arguments
        if self._rotary is not None and attends_to_all(arguments):
            return self._tail.of_token(self._rotary.output(hidden, tokens, arguments[-1][1]["position_embeddings"]))
        (pairs, width), m = tokens.place.shape, len(hidden)
        skip = None if batch.skip is None else batch.skip.repeat(m, 1, 1)
        flat = self._site.output(hidden.view(m * pairs, width, -1), skip)
        for layer, one in zip(self._later, arguments, strict=True):
            positional, keywords = repeated(one, pairs, m)
            flat = first(layer(flat, *positional, **keywords))
        return self._tail.scores(flat, tokens.position[tokens.last].repeat(m), batch.lengths.repeat(m)).view(m, pairs)

    def _mean(self) -> Tensor:
        total = sum(self._real(b).double().sum(0) for b in self._batches)
        count = sum(int(self._kept_lengths(b).sum()) for b in self._batches)
        return (torch.as_tensor(total) / count).to(self._w)

    def _kept_lengths(self, batch: Batch) -> Tensor:
        return batch.lengths if self._keeps_tokens else torch.ones_like(batch.lengths)

    def _real(self, batch: Batch) -> Tensor:
        """Activations [real tokens, players] of a batch, pair by pair, padding left out."""
        tokens = batch.residual.shape[1]
        real = torch.arange(tokens, device=batch.last.device)[None] < self._kept_lengths(batch)[:, None]
        return batch.z[: self._site.own_rows].T[real.flatten()]


def _refuse_lens_of_encoder(readout: Readout, row: Architecture) -> None:
    if readout == "lens" and row.pooled == "decoder":
        raise RerankerError(
            "readout: expected 'score' at a layer of the encoder, got 'lens': its final norm and head are the decoder's; "
            "fix: readout 'score', or a layer of the decoder"
        )


def _piece(tokens_at_once: int, device: torch.device) -> int:
    """How many tokens a thread replays at once."""
    return min(_CACHED_TOKENS, tokens_at_once // torch.get_num_threads()) if device.type == "cpu" else tokens_at_once


def _chunks(items: list[int], size: int) -> list[list[int]]:
    """The items in runs of ``size``, at least one."""
    size = max(1, size)
    return [items[start : start + size] for start in range(0, len(items), size)]
