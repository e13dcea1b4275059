"""What ``coterie fidelity`` found, as it is written to fidelity.json: how well each affinity ranks pairs of neurons."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from coterie.tracking.record import Strict

Text = Annotated[str, Field(max_length=1000)]
Correlation = Annotated[float, Field(ge=-1.0001, le=1.0001)]


class FidelityRow(Strict):
    """An affinity: Spearman's correlation with the exact synergy, its 95 % interval, or the reason why there is none."""

    affinity: Text
    spearman: Correlation | None
    low: Correlation | None
    high: Correlation | None
    evaluations: Annotated[int, Field(ge=0, lt=10**15)]
    seconds: Annotated[float, Field(ge=0, lt=1e12)]
    notes: dict[Text, float]
    reason: Text | None

    @model_validator(mode="after")
    def _sound(self) -> FidelityRow:
        if (self.spearman is None) == (self.reason is None):
            raise ValueError(f"{self.affinity[:60]!r}: expected either a correlation or a reason why there is none")
        return self


class FidelityReport(Strict):
    """What was asked, and a row for each affinity, best first, those without a number last."""

    schema_version: Literal[1] = 1
    coterie_version: Text
    task_name: Text
    task_fingerprint: Text
    budget: Annotated[int, Field(ge=1, lt=10**15)]
    pairs: Annotated[int, Field(ge=1, lt=10**15)]
    rows: Annotated[list[FidelityRow], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _sound(self) -> FidelityReport:
        if len({row.affinity for row in self.rows}) != len(self.rows):
            raise ValueError("rows: expected each affinity once")
        return self
