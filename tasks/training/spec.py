"""What a task file may say of how its reranker is made: its ``training`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from coterie.tasks.config.numbers import Number, Seed, Whole

Family = Literal["llama", "mistral", "gpt_neox"]
RATES = ((5_000_000, 3e-3), (500_000_000, 3e-4))  # rate by the largest number of parameters of a pretrained base
RATE_LARGE, RATE_FROM_NOTHING = 1e-4, 3e-3
WARMUP_FROM_NOTHING = 50
_RATE_RULE = (
    "3e-3 for a base made from nothing (training.base); for a pretrained base 3e-3 up to 5 M parameters, 3e-4 up to 500 M, "
    "1e-4 beyond"
)
_WARMUP_RULE = "50 for a base made from nothing, a tenth of the steps for a pretrained base"

_BOUNDS = {  # fields that contradict each other: at most, or at least, the other's value
    "accumulate": ("most", "queries_a_step"),
    "negatives_from_top": ("least", "hard_negatives"),
    "warmup": ("most", "steps"),
}


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseRecipe(_Spec):
    """Every constant of a tiny base model and its training, for bases that are made from nothing."""

    model_type: Family = "llama"
    vocabulary: Whole = Field(default=4096, ge=320, le=1_000_000)
    heads: Whole = Field(default=4, ge=1, le=128)
    hidden: Whole = Field(default=128, ge=8, le=16_384, validate_default=True)
    layers: Whole = Field(default=4, ge=1, le=200)
    max_length: Whole = Field(default=72, ge=8, le=512)
    matching_steps: Whole = Field(default=2500, ge=0, le=10_000_000)
    text_steps: Whole = Field(default=1500, ge=0, le=10_000_000)
    tokens_a_step: Whole = Field(default=3072, ge=64, le=10_000_000)
    learning_rate: Number = Field(default=1.5e-3, gt=0)
    seed: Seed = 0

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
    """LoRA on the MLP modules and a one-logit head.

    One step shows, of each of ``queries_a_step`` queries, one relevant document, ``hard_negatives`` of the best
    ``negatives_from_top`` that are not relevant (of BM25, or of the collection's run) and ``random_negatives`` others.
    Objective ``relevance`` is trained listwise (softmax cross-entropy of the relevant document), any other by the mean
    squared error of its standardised value. Every ``evaluate_every`` steps nDCG@10 is measured on queries set aside;
    the best state, the untuned model's included, is what is saved, and training ends early after ``patience``
    evaluations without a better one.
    """

    base: BaseRecipe | None = Field(default=None, description="how the base is made, where it is made from nothing")
    init_adapter: str | None = Field(
        default=None,
        description="warm start: a folder (relative to the task file) or hub id of an adapter of the same base, rank, alpha "
        "and targets, whose weights and head training starts from",
    )
    init_adapter_revision: str | None = None
    rank: Whole = Field(default=8, ge=1, le=4096)
    alpha: Whole = Field(default=16, ge=1)
    targets: tuple[str, ...] = Field(default=(), description="module names for LoRA; default: the MLP's linear modules")
    steps: Whole = Field(default=1500, ge=1, le=100_000_000)
    queries_a_step: Whole = Field(default=16, ge=1)
    accumulate: Whole = Field(default=1, ge=1, description="a step's queries in this many parts, for less memory")
    hard_negatives: Whole = Field(default=4, ge=0)
    random_negatives: Whole = Field(default=1, ge=0)
    negatives_from_top: Whole = Field(default=20, ge=1, validate_default=True)
    learning_rate: Number | None = Field(default=None, gt=0, description=f"default: {_RATE_RULE}")
    warmup: Whole | None = Field(
        default=None, ge=0, description=f"steps over which the learning rate rises from 0; default: {_WARMUP_RULE}"
    )
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    evaluate_every: Whole = Field(default=250, ge=1)
    dev_queries: Whole = Field(default=100, ge=2)
    patience: Whole = Field(default=4, ge=1)
    card_queries: Whole | None = Field(
        default=None, ge=2, description="queries a split for the model card; default: the task's"
    )
    seed: Seed = 0

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
        """With ``learning_rate`` and ``warmup`` filled in: they depend on how the base is made and on its parameters."""
        if self.base is not None:
            rate, warmup = RATE_FROM_NOTHING, WARMUP_FROM_NOTHING
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
        """The resolved learning rate and warm-up, and where they come from."""
        resolved = self.resolved(parameters)
        kind = "made from nothing" if self.base is not None else f"pretrained, {parameters / 1e6:.1f} M parameters"
        why = f"default for this base ({kind}): {_RATE_RULE}" if self.learning_rate is None else "from the task file"
        return f"learning rate {resolved.learning_rate:g}, linear warm-up over {resolved.warmup} steps ({why})"
