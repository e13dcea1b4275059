"""A reranker: a network, its tokenizer, its input template and its readout, loaded safely and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from coterie.tasks.collections.types import Candidate
from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.adapters import check_tokenizer, merged, with_adapter
from coterie.tasks.rerankers.architectures import Architecture, architecture_for, layers_in, row_of_layer
from coterie.tasks.rerankers.encoder import Encoder, Inputs, accepted_by
from coterie.tasks.rerankers.readouts import Columns, capped, columns_of, logit_cap, selected
from coterie.tasks.rerankers.samples import check_same, sample_scores
from coterie.tasks.rerankers.site import parameters_of
from coterie.tasks.rerankers.spec import LogitReadout, RerankerSpec, ScoreReadout, Template
from coterie.tasks.rerankers.tail import Tail
from coterie.tasks.rerankers.weights import check_finite, check_tensors, load_model, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WORD_STARTS = ("▁", "Ġ")  # how SentencePiece and GPT-2's bytes write the space before a word


@dataclass(frozen=True)
class Reranker:
    """A loaded reranker with its adapter merged."""

    model: PreTrainedModel
    """The network."""

    tokenizer: PreTrainedTokenizerBase
    """The base's tokenizer."""

    template: Template
    """How a pair becomes text."""

    base_mlp: Mapping[int, Mapping[str, Tensor]]
    """MLP parameters that the merge replaced, by layer and name; empty without an adapter."""

    readout: ScoreReadout = field(default_factory=LogitReadout)
    """Which output is the score."""

    columns: Columns = (0, None)
    """The same, as indices of the outputs."""

    @property
    def device(self) -> torch.device:
        """The device of the network's first parameter."""
        return next(self.model.parameters()).device

    @cached_property
    def row(self) -> Architecture:
        """Module paths of the network; for an encoder-decoder, of the encoder."""
        return architecture_for(self.model.config, self.readout)

    @cached_property
    def layers(self) -> list[nn.Module]:
        """The transformer layers in the order of computation."""
        return layers_in(self.model, self.row)

    def row_of(self, layer: int) -> Architecture:
        """Module paths for one layer. Raises `RerankerError` if the next module is not a layer."""
        if (
            layer == 0
            and getattr(self.model.config, "conv_kernel_size", 0) > 0
            and self.row.layers.startswith("deberta")
        ):
            raise RerankerError(
                "layer: expected a layer that is directly followed by the next, got 0, after which this DeBERTa mixes tokens "
                "by a convolution; fix: layer 1 or later"
            )
        return row_of_layer(self.model, self.row, layer)

    def inputs(self, pairs: Sequence[Candidate]) -> list[Inputs]:
        """The tokens of each pair, with segment ids and the like, truncated to the template's length.

        Raises `RerankerError` for a token that the model has no embedding for.
        """
        inputs = self._encoder.encode(pairs)
        for pair, one in zip(pairs, inputs, strict=True):
            if max(one.ids, default=0) >= self._embeddings:
                raise RerankerError(
                    f"query {pair.query_id!r}, document {pair.document_id!r}: expected token ids below {self._embeddings}, got "
                    f"{max(one.ids)} ({self.tokenizer.convert_ids_to_tokens(max(one.ids))!r}); fix: use the tokenizer of this "
                    f"model"
                )
        return inputs

    def encode(self, pairs: Sequence[Candidate]) -> list[list[int]]:
        """The token ids of each pair, without padding."""
        return [one.ids for one in self.inputs(pairs)]

    def token_strings(self, ids: Sequence[int]) -> list[str]:
        """The text of each token, with a leading space if it begins a word.

        A token that is only part of a character becomes U+FFFD; a special token becomes its name.
        """
        pieces = self.tokenizer.convert_ids_to_tokens(list(ids))
        texts = [self.tokenizer.decode([i], clean_up_tokenization_spaces=False) for i in ids]
        begins = [piece.startswith(_WORD_STARTS) for piece in pieces]
        return [f" {text.lstrip(' ')}" if first else text for text, first in zip(texts, begins, strict=True)]

    def batch(self, inputs: Sequence[Inputs]) -> tuple[dict[str, Tensor], Tensor]:
        """The model's arguments [rows, longest] for some pairs, and their lengths [rows].

        Padding is always on the right, whatever the tokenizer's side. A causal decoder gets no mask, since it never
        attends to what follows.
        """
        filler = next((f for f in (self.tokenizer.pad_token_id, self.model.config.pad_token_id) if f is not None), 0)
        arguments = {"input_ids": self._padded([one.ids for one in inputs], int(filler))}
        for name in inputs[0].extras:
            arguments[name] = self._padded([list(one.extras[name]) for one in inputs], 0)
        lengths = torch.tensor([len(one.ids) for one in inputs], device=self.device)
        if self.row.pooled != "last" or not self.row.causal:
            width = arguments["input_ids"].shape[1]
            arguments["attention_mask"] = (torch.arange(width, device=self.device)[None] < lengths[:, None]).long()
        if self.row.pooled == "decoder":
            start = self.model.config.decoder_start_token_id
            arguments["decoder_input_ids"] = torch.full((len(inputs), 1), start, device=self.device)
        return arguments, lengths

    def logits(self, inputs: Sequence[Inputs]) -> Tensor:
        """The scores [rows] of one batch by the model's own forward.

        If the head reads the last token, that token is found by the pair's length and not by the padding token.
        """
        arguments, lengths = self.batch(inputs)
        if self.row.pooled == "last":
            hidden = self.model.base_model(**arguments).last_hidden_state
            rows = torch.arange(len(hidden), device=hidden.device)
            outputs = self.model.get_submodule(self.row.head)(hidden[rows, lengths.to(hidden.device) - 1])
            return selected(capped(outputs, logit_cap(self.model.config, self.readout)), self.columns)
        logits: Tensor = self.model(**arguments).logits
        return selected(logits[:, 0] if self.row.pooled == "decoder" else logits, self.columns)

    @torch.no_grad()
    def score(self, pairs: Sequence[Candidate], batch_size: int = 64) -> Tensor:
        """The scores [pairs] by the model's own forward, without the engine."""
        inputs = self.inputs(pairs)
        order = sorted(range(len(inputs)), key=lambda i: len(inputs[i].ids))
        scores = torch.empty(len(inputs), dtype=self.model.dtype)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            scores[batch] = self.logits([inputs[i] for i in batch]).cpu()
        return scores

    @cached_property
    def tail(self) -> Tail:
        """What follows the layers; in an encoder-decoder, what follows the encoder's."""
        return Tail(self, self.row)

    @cached_property
    def _embeddings(self) -> int:
        table: Any = self.model.get_input_embeddings()
        return int(table.weight.shape[0])

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.tokenizer, self.template, accepted_by(type(self.model)))

    def _padded(self, rows: Sequence[list[int]], filler: int) -> Tensor:
        values = torch.full((len(rows), max(map(len, rows))), filler, dtype=torch.long)
        for i, row in enumerate(rows):
            values[i, : len(row)] = torch.tensor(row)
        return values.to(self.device)


def load_reranker(
    spec: RerankerSpec, device: str = "cpu", keep_base: Sequence[int] | None = None, new_head: bool = False
) -> Reranker:
    """Load a base, its tokenizer and its adapter, check that no tensor is missing or unused, and merge the adapter.

    `keep_base` lists the layers whose MLP parameters before the merge are kept (default: all). `new_head` allows a base
    without a classification head, which then gets a random one. Never runs code from a checkpoint or unpickles one. Raises
    `RerankerError` for whatever does not load or would silently give wrong scores.
    """
    model, info = load_model(spec, new_head)
    tokenizer = load_tokenizer(spec)
    row = architecture_for(model.config, spec.readout)
    missing_head = check_tensors(info, row, spec, new_head)
    check_finite(model, spec)
    columns = columns_of(spec.readout, model.config, tokenizer, spec.base)
    _check_tokens(model, tokenizer, spec, row)
    if spec.dtype == "float64":
        _exact_norms(model)
        if row.experts is not None:
            model.config._experts_implementation = "eager"  # the grouped kernels are for lower precision
    reranker = Reranker(model, tokenizer, spec.template, {}, spec.readout, columns)
    if spec.adapter is not None:
        check_tokenizer(spec, tokenizer)
        layers = range(len(reranker.layers))
        wanted = layers if keep_base is None else [layer for layer in keep_base if layer in layers]
        reranker = _with_merged_adapter(reranker, spec, missing_head, wanted)
    model = reranker.model.eval() if spec.device_map else reranker.model.eval().to(device)
    reranker = replace(reranker, model=model)
    head: Any = reranker.tail.modules[-1]
    if not new_head and not head.weight.any():
        raise RerankerError(
            f"{spec.base}: expected a head with nonzero weights ({row.head}), got only zeros: every score would be equal; "
            f"fix: use another checkpoint, or an adapter that brings its head"
        )
    check_same(
        sample_scores(reranker, together=True), sample_scores(reranker), "scored in one batch", spec.base, reranker
    )
    return reranker


def _with_merged_adapter(
    reranker: Reranker, spec: RerankerSpec, missing_head: Sequence[str], keep_base: Sequence[int]
) -> Reranker:
    """The reranker with its adapter merged, and with the earlier MLP parameters of the layers that the merge changed."""

    def parameters(of: Reranker) -> dict[int, dict[str, Tensor]]:
        return {i: parameters_of(row_of_layer(of.model, of.row, i), of.layers[i]) for i in keep_base}

    before = parameters(reranker)
    tuned = with_adapter(reranker.model, spec, missing_head)
    check_finite(tuned.base_model.model, spec)
    unmerged = sample_scores(replace(reranker, model=tuned.base_model.model))
    whole = replace(reranker, model=merged(tuned, spec))
    check_same(sample_scores(whole), unmerged, "merged into the weights", str(spec.adapter), whole)
    after = parameters(whole)
    changed = (i for i in keep_base if any(not torch.equal(before[i][name], after[i][name]) for name in before[i]))
    return replace(whole, base_mlp={i: before[i] for i in changed})


def _check_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, spec: RerankerSpec, row: Architecture
) -> None:
    """Refuse token ids for which the checkpoint's own pooling is ambiguous, although `Reranker.batch` does not use it."""
    ours, theirs = model.config.pad_token_id, tokenizer.pad_token_id
    if ours is not None and theirs is not None and ours != theirs:
        raise RerankerError(
            f"{spec.base}: expected the same padding token in model and tokenizer, got {ours} and {theirs}: the classifier "
            f"was trained to pool a token other than the last; fix: set pad_token_id in config.json"
        )
    sample = Candidate("", "", "query", "document", 0)
    (inputs,) = Encoder(tokenizer, spec.template, accepted_by(type(model))).encode([sample])
    classifies = row.head != row.lm_head
    if row.pooled == "last" and classifies and ours is not None and inputs.ids and inputs.ids[-1] == ours:
        raise RerankerError(
            f"{spec.base}: expected an end token other than the padding token, got {ours} for both: transformers pools the "
            f"token before it; fix: use another pad_token_id in config.json and the tokenizer"
        )
    if max(inputs.ids) >= model.config.vocab_size:
        raise RerankerError(
            f"{spec.base}: expected token ids below {model.config.vocab_size}, got {max(inputs.ids)}; "
            f"fix: use the tokenizer of this model"
        )


def _exact_norms(model: nn.Module) -> None:
    """Replace RMSNorms that compute in float32 whatever the precision of their input."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            kind = type(child).__name__
            if (kind.endswith("RMSNorm") or kind == "T5LayerNorm") and hasattr(child, "variance_epsilon"):
                weight: Any = child.weight
                exact = nn.RMSNorm(weight.shape[0], eps=float(child.variance_epsilon), dtype=weight.dtype)  # type: ignore[arg-type]
                exact.weight = weight
                setattr(parent, name, exact)
