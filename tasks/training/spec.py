"""The `training` section of a task file: how `coterie train` makes the task's reranker."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from coterie.tasks.config.numbers import Number, Seed

Family = Literal["llama", "mistral", "gpt_neox"]
RATES = ((5_000_000, 3e-3), (500_000_000, 3e-4))  # largest number of parameters of a pretrained base, learning rate
RATE_LARGE, RATE_FROM_SCRATCH = 1e-4, 3e-3
WARMUP_FROM_SCRATCH = 50
_RATE_RULE = (
    "3e-3 for a base trained from scratch (training.base); for a pretrained base 3e-3 up to 5 M parameters, 3e-4 up to "
    "500 M, 1e-4 beyond"
)

_BOUNDS = {  # field: whether it is at most or at least the value of another field
    "accumulate": ("most", "queries_a_step"),
    "negatives_from_top": ("least", "hard_negatives"),
    "warmup": ("most", "steps"),
}


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseRecipe(_Spec):
    """Every constant of a tiny base model that is trained from scratch."""

    model_type: Family = "llama"
    """Architecture as transformers names it."""

    vocabulary: StrictInt = Field(default=4096, ge=320, le=1_000_000)
    """Number of tokens of the byte-level BPE tokenizer."""

    heads: StrictInt = Field(default=4, ge=1, le=128)
    """Number of attention heads."""

    hidden: StrictInt = Field(default=128, ge=8, le=16_384, validate_default=True)
    """Width of the residual stream: a multiple of twice the number of heads."""

    layers: StrictInt = Field(default=4, ge=1, le=200)
    """Number of transformer layers."""

    max_length: StrictInt = Field(default=72, ge=8, le=512)
    """Maximum number of tokens per pair in the stage `text`."""

    matching_steps: StrictInt = Field(default=2500, ge=0, le=10_000_000)
    """Optimiser steps on random tokens, which teach to detect whether a document token occurs in the query."""

    text_steps: StrictInt = Field(default=1500, ge=0, le=10_000_000)
    """Optimiser steps on the training texts: language modelling, and the same detection."""

    tokens_a_step: StrictInt = Field(default=3072, ge=64, le=10_000_000)
    """Number of tokens per step."""

    learning_rate: Number = Field(default=1.5e-3, gt=0)
    """Peak learning rate of both stages."""

    seed: Seed = 0
    """Seed of weights and batches."""

    @field_validator("hidden")
    @classmethod
    def _divides(cls, hidden: int, info: ValidationInfo) -> int:
        heads = info.data.get("heads")
        if heads and hidden % (2 * heads):
            raise PydanticCustomError(
                "contradiction", "expected a multiple of twice the number of heads, {heads}", {"heads": heads}
            )
        return hidden


class TrainingSpec(_Spec):
    """LoRA on the MLP modules, and a head with one logit.

    Objective `relevance` is trained listwise (softmax cross-entropy of the relevant document), any other objective by the
    mean squared error of its standardised value.
    """

    base: BaseRecipe | None = None
    """How to train the base from scratch; None for a pretrained base."""

    init_adapter: str | None = None
    """Warm start: folder (relative to the task file) or hub id of an adapter of the same base, rank, alpha and targets,
    whose weights and head training starts from."""

    init_adapter_revision: str | None = None
    """Commit or tag of `init_adapter` on the hub."""

    rank: StrictInt = Field(default=8, ge=1, le=4096)
    """Rank of LoRA."""

    alpha: StrictInt = Field(default=16, ge=1)
    """Scale of LoRA."""

    targets: tuple[str, ...] = ()
    """Names of the modules that LoRA changes; by default the MLP's linear modules."""

    steps: StrictInt = Field(default=1500, ge=1, le=100_000_000)
    """Number of optimiser steps, unless training stops early."""

    queries_a_step: StrictInt = Field(default=16, ge=1)
    """Number of queries per step, each with one relevant document."""

    accumulate: StrictInt = Field(default=1, ge=1)
    """Number of parts in which the queries of a step are processed, to save memory."""

    hard_negatives: StrictInt = Field(default=4, ge=0)
    """Documents per query that rank high and are not relevant."""

    random_negatives: StrictInt = Field(default=1, ge=0)
    """Documents per query drawn from all documents."""

    negatives_from_top: StrictInt = Field(default=20, ge=1, validate_default=True)
    """Hard negatives are drawn from this many of the best documents (by BM25, or in the collection's run)."""

    learning_rate: Number | None = Field(default=None, gt=0)
    """Peak learning rate; the default depends on the base (`resolved`)."""

    warmup: StrictInt | None = Field(default=None, ge=0)
    """Number of steps over which the learning rate rises from 0; the default depends on the base (`resolved`)."""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision of the forward pass; weights stay in float32."""

    evaluate_every: StrictInt = Field(default=250, ge=1)
    """Steps between measurements of nDCG@10 on the dev queries. The best state is saved, which may be the untuned one."""

    dev_queries: StrictInt = Field(default=100, ge=2)
    """Maximum number of queries for these measurements."""

    patience: StrictInt = Field(default=4, ge=1)
    """Number of measurements without an improvement after which training stops."""

    card_queries: StrictInt | None = Field(default=None, ge=2)
    """Number of queries per split for the model card; by default the task's."""

    seed: Seed = 0
    """Seed of the new head, of the batches and of dropout."""

    @field_validator("accumulate", "negatives_from_top", "warmup")
    @classmethod
    def _fits(cls, value: int | None, info: ValidationInfo) -> int | None:
        side, other = _BOUNDS[str(info.field_name)]
        bound = info.data.get(other)
        if value is not None and bound is not None and (value > bound if side == "most" else value < bound):
            expected = "expected at {side} {bound}, the value of {other}"
            raise PydanticCustomError("contradiction", expected, {"side": side, "bound": bound, "other": other})
        return value

    def resolved(self, parameters: int) -> TrainingSpec:
        """The recipe with default `learning_rate` and `warmup` filled in.

        From scratch: 3e-3 and 50 steps. Pretrained: 3e-3 up to 5 M parameters, 3e-4 up to 500 M, 1e-4 beyond, and a tenth
        of the steps.
        """
        if self.base is not None:
            rate, warmup = RATE_FROM_SCRATCH, WARMUP_FROM_SCRATCH
        else:
            rate = next((rate for most, rate in RATES if parameters <= most), RATE_LARGE)
            warmup = max(1, self.steps // 10)
        return self.model_copy(
            update={
                "learning_rate": rate if self.learning_rate is None else self.learning_rate,
                "warmup": warmup if self.warmup is None else self.warmup,
            }
        )

    def rate_line(self, parameters: int) -> str:
        """A line for the log: learning rate and warm-up, and where they come from."""
        resolved = self.resolved(parameters)
        kind = "trained from scratch" if self.base is not None else f"pretrained, {parameters / 1e6:.1f} M parameters"
        why = (
            "from the task file" if self.learning_rate is not None else f"default for this base ({kind}): {_RATE_RULE}"
        )
        return f"learning rate {resolved.learning_rate:g}, linear warm-up over {resolved.warmup} steps ({why})"
