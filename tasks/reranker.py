"""A reranker: a sequence classifier with one logit, its tokenizer and its input template, loaded safely and checked."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from coterie.tasks.architectures import architecture_of, layers_of
from coterie.tasks.checkpoint import RerankerError, check_adapter, told
from coterie.tasks.site import parameters_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from coterie.tasks.collections.types import Candidate


_WORD_STARTS = (
    "\N{LOWER ONE EIGHTH BLOCK}",
    "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}",
)  # of SentencePiece, of GPT-2's bytes
_FIELDS = re.compile(r"(\{query\}|\{document\})")


class Template(BaseModel):
    """How a query-document pair becomes the model's input: two segments, as the tokenizer joins a text pair.

    Only ``{query}`` and ``{document}`` are replaced, literally. With an empty ``second``
    the input is one text. Where it is longer than ``max_length`` tokens, the longer segment is cut.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: str = "{query}"
    second: str = "{document}"
    max_length: int = Field(default=512, ge=8)

    def fill(self, query: str, document: str) -> tuple[str, str]:
        """The two segments of one pair."""
        return tuple(  # type: ignore[return-value]
            "".join({"{query}": query, "{document}": document}.get(part, part) for part in _FIELDS.split(segment))
            for segment in (self.first, self.second)
        )


class RerankerSpec(BaseModel):
    """Where a reranker comes from. ``base`` and ``adapter`` are folders in hub layout or hub ids, each with a revision."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    adapter: str | None = None
    revision: str | None = None
    adapter_revision: str | None = None
    template: Template = Template()
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32"
    attention: Literal["sdpa", "eager", "flash_attention_2"] | None = Field(
        default=None, description="default: the best that the architecture has; what was used is recorded"
    )
    device_map: Literal["auto"] | None = Field(default=None, description="auto: spread a model over several GPUs")


@dataclass(frozen=True)
class Reranker:
    """A loaded reranker with its adapter merged; ``base_mlp`` keeps, by layer, the MLP parameters that the merge replaced."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    template: Template
    base_mlp: Mapping[int, Mapping[str, Tensor]]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def encode(self, pairs: Sequence[Candidate]) -> list[list[int]]:
        """Token ids of each pair, not padded."""
        firsts, seconds = zip(*(self.template.fill(p.query, p.document) for p in pairs), strict=True)
        encoded = self.tokenizer(
            list(firsts),
            list(seconds) if self.template.second else None,
            truncation="longest_first",
            max_length=self.template.max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return list(encoded["input_ids"])

    def token_strings(self, ids: Sequence[int]) -> list[str]:
        """The text of each token by itself; one that begins a word has its space in front.

        A token that is a part of a character's bytes shows as U+FFFD. Raises nothing for special tokens: their names.
        """
        pieces = self.tokenizer.convert_ids_to_tokens(list(ids))
        texts = [self.tokenizer.decode([i], clean_up_tokenization_spaces=False) for i in ids]
        begins = [piece.startswith(_WORD_STARTS) for piece in pieces]
        return [f" {text.lstrip(' ')}" if first else text for text, first in zip(texts, begins, strict=True)]

    def pad(self, rows: Sequence[list[int]]) -> Tensor:
        """One right-padded batch [rows, longest], int64, on the model's device, whatever the tokenizer's padding is."""
        filler = self.tokenizer.pad_token_id
        ids = torch.full((len(rows), max(map(len, rows))), 0 if filler is None else int(filler), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
        return ids.to(self.device)

    def logits(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The final logits [rows] of a padded batch of token ids.

        Where the classifier reads the last token, it is found by ``lengths`` and not by the padding token: padding comes
        after it, and causal attention never looks there.
        """
        row, rows = architecture_of(self.model), torch.arange(len(ids), device=ids.device)
        if row.pooled == "first":
            mask = torch.arange(ids.shape[1], device=ids.device)[None] < lengths[:, None]
            logits: Tensor = self.model(input_ids=ids, attention_mask=mask.long()).logits
        else:
            hidden = self.model.base_model(input_ids=ids).last_hidden_state
            logits = self.model.get_submodule(row.head)(hidden[rows, lengths.to(hidden.device) - 1])
        return logits[:, 0]

    @torch.no_grad()
    def score(self, pairs: Sequence[Candidate], batch_size: int = 64) -> Tensor:
        """The final logits [pairs] by the model's own forward: the plain way, without the engine."""
        rows = self.encode(pairs)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        scores = torch.empty(len(rows), dtype=self.model.dtype)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            lengths = torch.tensor([len(rows[i]) for i in batch], device=self.device)
            scores[batch] = self.logits(self.pad([rows[i] for i in batch]), lengths).cpu()
        return scores


def load_reranker(
    spec: RerankerSpec, device: str = "cpu", keep_base: Sequence[int] | None = None, new_head: bool = False
) -> Reranker:
    """Load a base model, its adapter and tokenizer, check them, and merge the adapter.

    ``keep_base`` are the layers whose MLP is kept as it was before the adapter (default: all); ``new_head`` allows a
    base without a classification head, which then gets a random one. Never runs code from a checkpoint, never unpickles
    one. Raises :class:`RerankerError` for what would give wrong scores silently, and for what cannot be loaded.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with _quiet_transformers(), told(spec.base):
        model, info = AutoModelForSequenceClassification.from_pretrained(
            spec.base,
            revision=spec.revision,
            num_labels=1,
            dtype=getattr(torch, spec.dtype),
            attn_implementation=spec.attention,
            device_map=spec.device_map,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(spec.base, revision=spec.revision, trust_remote_code=False)
    row = architecture_of(model)
    headless = any(key.startswith(row.head) for key in info["missing_keys"])
    if headless and not new_head and spec.adapter is None:
        raise RerankerError(
            f"{spec.base}: expected a classification head ({row.head}) in the checkpoint, got none: a random one would be "
            f"used; fix: a sequence classifier, or an adapter that brings its head"
        )
    _check_tokens(model, tokenizer, spec)
    model.config.use_cache = False
    if spec.dtype == "float64":
        _exact_norms(model)
        if row.experts is not None:
            model.config._experts_implementation = "eager"  # the grouped kernels are for lower precision
    base_mlp: dict[int, dict[str, Tensor]] = {}
    if spec.adapter is not None:
        check_adapter(spec.adapter, spec.adapter_revision, headless)
        layers = layers_of(model)
        wanted = range(len(layers)) if keep_base is None else keep_base
        base_mlp = {i: parameters_of(row, layers[i]) for i in wanted}
        model = _merged(model, spec.adapter, spec.adapter_revision)
    model = model.eval() if spec.device_map else model.eval().to(device)
    return Reranker(model, tokenizer, spec.template, base_mlp)


def _merged(model: PreTrainedModel, adapter: str, revision: str | None) -> PreTrainedModel:
    from peft import PeftModel

    with _quiet_transformers(), told(adapter):
        tuned = PeftModel.from_pretrained(
            model, adapter, revision=revision, torch_device=str(next(model.parameters()).device)
        )
        merged: PreTrainedModel = tuned.merge_and_unload()
    return merged


def _check_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, spec: RerankerSpec) -> None:
    """Refuse token ids that make the checkpoint's own pooling ambiguous; padding itself is ours (:meth:`Reranker.pad`)."""
    ours, theirs = model.config.pad_token_id, tokenizer.pad_token_id
    if ours is not None and theirs is not None and ours != theirs:
        raise RerankerError(
            f"{spec.base}: expected the same padding token in model and tokenizer, got {ours} and {theirs}: the classifier "
            f"was trained to pool another token than the last; fix: set pad_token_id in config.json"
        )
    filled = spec.template.fill("query", "document")
    ids = tokenizer(*filled)["input_ids"] if spec.template.second else tokenizer(filled[0])["input_ids"]
    if architecture_of(model).pooled == "last" and ours is not None and ids and ids[-1] == ours:
        raise RerankerError(
            f"{spec.base}: expected an end token other than the padding token, got {ours} for both: transformers pools the "
            f"token before it; fix: another pad_token_id in config.json and the tokenizer"
        )
    if max(ids) >= model.config.vocab_size:
        raise RerankerError(
            f"{spec.base}: expected token ids below {model.config.vocab_size}, got {max(ids)}; fix: the tokenizer of this model"
        )


def _exact_norms(model: nn.Module) -> None:
    """In float64, replace RMSNorms that compute in float32 whatever their input is."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__.endswith("RMSNorm") and hasattr(child, "variance_epsilon"):
                weight: Any = child.weight
                exact = nn.RMSNorm(weight.shape[0], eps=float(child.variance_epsilon), dtype=weight.dtype)  # type: ignore[arg-type]
                exact.weight = weight
                setattr(parent, name, exact)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Hold back progress bars and the warning that a base without head gets a new one (the adapter brings it)."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # transformers warns of a name that peft looks up on every model; nothing that a user could change
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(level)
        transformers_logging.enable_progress_bar()
