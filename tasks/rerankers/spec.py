"""A reranker as it is written in a task file: where it comes from, what it reads, and which of its outputs is the score."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from coterie.tasks.rerankers.readouts import LogitReadout, ScoreReadout
from coterie.tasks.rerankers.template import Template


class RerankerSpec(BaseModel):
    """Where a reranker comes from. ``base`` and ``adapter`` are folders in hub layout or hub ids, each with a revision."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
    adapter: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")] | None = None
    revision: str | None = None
    adapter_revision: str | None = None
    template: Template = Template()
    readout: ScoreReadout = Field(default=LogitReadout(), description="which output is the score")
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32"
    attention: Literal["sdpa", "eager", "flash_attention_2"] | None = Field(
        default=None, description="default: the best that the architecture has; what was used is recorded"
    )
    device_map: Literal["auto"] | None = Field(default=None, description="auto: spread a model over several GPUs")
