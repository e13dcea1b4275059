"""What a task file may say of how its reranker is made: its ``training`` section."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Family = Literal["llama", "mistral", "gpt_neox"]


class TrainingError(ValueError):
    """A training that cannot be done, or not be resumed."""


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaseRecipe(_Spec):
    """Every constant of a tiny base model and its training, for bases that are made from nothing."""

    model_type: Family = "llama"
    vocabulary: int = 4096
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    max_length: int = 72
    matching_steps: int = 2500
    text_steps: int = 1500
    tokens_a_step: int = 3072
    learning_rate: float = 1.5e-3
    seed: int = 0


class TrainingSpec(_Spec):
    """LoRA on the MLP modules and a one-logit head.

    One step shows, of each of ``queries_a_step`` queries, one relevant document, ``hard_negatives`` of the best
    ``negatives_from_top`` that are not relevant (of BM25, or of the collection's run) and ``random_negatives`` others.
    Objective ``relevance`` is trained listwise (softmax cross-entropy of the relevant document), any other by the mean
    squared error of its standardised value. Every ``evaluate_every`` steps nDCG@10 is measured on queries set aside;
    the best state is what is saved, and training ends early after ``patience`` evaluations without a better one.
    """

    base: BaseRecipe | None = Field(default=None, description="how the base is made, where it is made from nothing")
    rank: int = Field(default=8, ge=1)
    alpha: int = Field(default=16, ge=1)
    targets: tuple[str, ...] = Field(default=(), description="module names for LoRA; default: the MLP's linear modules")
    steps: int = Field(default=1500, ge=1)
    queries_a_step: int = Field(default=16, ge=1)
    accumulate: int = Field(default=1, ge=1, description="a step's queries in this many parts, for less memory")
    hard_negatives: int = Field(default=4, ge=0)
    random_negatives: int = Field(default=1, ge=0)
    negatives_from_top: int = Field(default=20, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    evaluate_every: int = Field(default=250, ge=1)
    dev_queries: int = Field(default=100, ge=2)
    patience: int = Field(default=4, ge=1)
    card_queries: int | None = Field(
        default=None, ge=2, description="queries a split for the model card; default: the task's"
    )
    seed: int = 0
