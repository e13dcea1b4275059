"""A reranker: a sequence classifier with one logit, its tokenizer and its input template, loaded safely and checked."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from coterie.tasks.architectures import architecture_of, layers_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from coterie.tasks.collections.types import Candidate

_HASHED = ("*.safetensors", "config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json")


class RerankerError(ValueError):
    """A checkpoint that would load but give wrong scores, or that does not load."""


class Template(BaseModel):
    """How a query-document pair becomes the model's input: two segments, as the tokenizer joins a text pair.

    Only ``{query}`` and ``{document}`` are replaced, literally. Where the pair is longer than ``max_length``
    tokens, the longer segment is cut.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: str = "{query}"
    second: str = "{document}"
    max_length: int = Field(default=512, ge=8)

    def fill(self, query: str, document: str) -> tuple[str, str]:
        """The two segments of one pair."""
        return self.first.replace("{query}", query), self.second.replace("{document}", document)


class RerankerSpec(BaseModel):
    """Where a reranker comes from. ``base`` and ``adapter`` are folders in hub layout or hub ids."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    adapter: str | None = None
    revision: str | None = None
    template: Template = Template()
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32"


@dataclass(frozen=True)
class BaseMLP:
    """One MLP's weights before LoRA: ``gate`` and ``up`` [players, d_model], ``down`` [d_model, players]."""

    gate: Tensor
    up: Tensor
    down: Tensor


@dataclass(frozen=True)
class Reranker:
    """A loaded reranker with its adapter merged; ``base_mlp`` keeps the weights that the merge replaced."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    template: Template
    base_mlp: dict[int, BaseMLP]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def encode(self, pairs: Sequence[Candidate]) -> list[list[int]]:
        """Token ids of each pair, not padded."""
        firsts, seconds = zip(*(self.template.fill(p.query, p.document) for p in pairs), strict=True)
        encoded = self.tokenizer(
            list(firsts),
            list(seconds),
            truncation="longest_first",
            max_length=self.template.max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return list(encoded["input_ids"])

    def pad(self, rows: Sequence[list[int]]) -> Tensor:
        """One right-padded batch [rows, longest], int64, on the model's device."""
        ids = torch.full((len(rows), max(map(len, rows))), int(self.tokenizer.pad_token_id), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
        return ids.to(self.device)

    @torch.no_grad()
    def score(self, pairs: Sequence[Candidate], batch_size: int = 64) -> Tensor:
        """The final logits [pairs] by the model's own forward: the plain way, without the engine."""
        rows = self.encode(pairs)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        scores = torch.empty(len(rows), dtype=self.model.dtype)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            scores[batch] = self.model(input_ids=self.pad([rows[i] for i in batch])).logits[:, 0].cpu()
        return scores


def load_reranker(spec: RerankerSpec, device: str = "cpu", keep_base: bool = True) -> Reranker:
    """Load a base model, its adapter and tokenizer, check them, and merge the adapter.

    Never runs code from a checkpoint. Raises :class:`RerankerError` for what would give wrong scores silently: more
    than one logit, an adapter without the classification head, a padding token unknown to the model or different from
    the tokenizer's, left padding.
    """
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with _quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(
            spec.base, revision=spec.revision, num_labels=1, dtype=getattr(torch, spec.dtype), trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(spec.base, revision=spec.revision, trust_remote_code=False)
        _check_padding(model, tokenizer, spec)
        if spec.dtype == "float64":
            _exact_norms(model)
        base_mlp: dict[int, BaseMLP] = {}
        if spec.adapter is not None:
            _check_adapter(spec.adapter)
            peft_model = PeftModel.from_pretrained(model, spec.adapter)
            base_mlp = _base_mlps(model) if keep_base else {}
            model = peft_model.merge_and_unload()
    return Reranker(model.eval().to(device), tokenizer, spec.template, base_mlp)


def _check_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, spec: RerankerSpec) -> None:
    if tokenizer.pad_token_id is None or model.config.pad_token_id != tokenizer.pad_token_id:
        raise RerankerError(
            f"{spec.base}: expected the same padding token in model and tokenizer, got {model.config.pad_token_id} and "
            f"{tokenizer.pad_token_id}: the classifier would pool another "
            f"token than the last; fix: set pad_token_id in config.json"
        )
    if tokenizer.padding_side != "right":
        raise RerankerError(
            f"{spec.base}: expected right padding, got {tokenizer.padding_side!r}; fix: padding_side in tokenizer_config.json"
        )


def _check_adapter(adapter: str) -> None:
    from peft import PeftConfig
    from safetensors import safe_open

    config = PeftConfig.from_pretrained(adapter)
    path = Path(adapter) / "adapter_model.safetensors"
    if not path.exists():
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(adapter, "adapter_model.safetensors"))
    with safe_open(str(path), framework="pt") as weights:
        names = list(weights.keys())
    if not any(".score." in name or ".classifier." in name for name in names):
        raise RerankerError(
            f"{adapter}: expected the classification head in the adapter (task type {config.task_type}), got none: a random "
            f"head would be used; fix: save the adapter with modules_to_save=['score']"
        )


def _base_mlps(model: PreTrainedModel) -> dict[int, BaseMLP]:
    """The MLP weights under the adapter, before it is merged (copied: merging changes them in place)."""
    row, kept = architecture_of(model), {}
    for index, layer in enumerate(layers_of(model)):
        weights = []
        for path in (row.gate, row.up, row.down):
            module: Any = layer.get_submodule(path)
            weights.append(getattr(module, "base_layer", module).weight.detach().clone())
        kept[index] = BaseMLP(*weights)
    return kept


def _exact_norms(model: nn.Module) -> None:
    """In float64, replace RMSNorms that compute in float32 whatever their input is."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ in {"LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm"}:
                weight: Any = child.weight
                exact = nn.RMSNorm(weight.shape[0], eps=float(child.variance_epsilon), dtype=weight.dtype)  # type: ignore[arg-type]
                exact.weight = weight
                setattr(parent, name, exact)


def weights_hash(spec: RerankerSpec) -> str:
    """SHA-256 of the weight, configuration and tokenizer files (a hub id without a local folder: of id and revision)."""
    digest = hashlib.sha256(json.dumps([spec.dtype, spec.template.model_dump()]).encode())
    for source in filter(None, (spec.base, spec.adapter)):
        folder = Path(source)
        files = sorted({f for pattern in _HASHED for f in folder.glob(pattern)}) if folder.is_dir() else []
        if not files:
            digest.update(f"{source}@{spec.revision}".encode())
        for file in files:
            digest.update(file.name.encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


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
