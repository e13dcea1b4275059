"""The report of `coterie fidelity`, as written to fidelity.json: how well each affinity ranks pairs of neurons."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from coterie.tracking.record import Strict

Text = Annotated[str, Field(max_length=1000)]
Correlation = Annotated[float, Field(ge=-1.0001, le=1.0001)]


class FidelityRow(Strict):
    """The result of one affinity."""

    affinity: Text
    """Name of the affinity."""

    spearman: Correlation | None
    """Spearman's correlation with the exact synergy."""

    low: Correlation | None
    """Lower end of its 95 % interval."""

    high: Correlation | None
    """Upper end of its 95 % interval."""

    evaluations: Annotated[int, Field(ge=0, lt=10**15)]
    """Evaluations that the affinity spent."""

    seconds: Annotated[float, Field(ge=0, lt=1e12)]
    """Time to compute it."""

    notes: dict[Text, float]
    """Facts about the computation, such as the rank of an approximation."""

    reason: Text | None
    """Why the correlation is missing; None if it is not."""

    @model_validator(mode="after")
    def _sound(self) -> FidelityRow:
        if (self.spearman is None) == (self.reason is None):
            raise ValueError(f"{self.affinity[:60]!r}: expected either a correlation or a reason")
        return self


class FidelityReport(Strict):
    """The options and the results of `coterie fidelity`."""

    schema_version: Literal[1] = 1
    """Version of this schema."""

    coterie_version: Text
    """Version of coterie that wrote the report."""

    task_name: Text
    """Name of the task."""

    task_fingerprint: Text
    """Fingerprint of the task."""

    budget: Annotated[int, Field(ge=1, lt=10**15)]
    """Evaluations that each affinity may spend."""

    pairs: Annotated[int, Field(ge=1, lt=10**15)]
    """Number of random pairs of neurons."""

    rows: Annotated[list[FidelityRow], Field(min_length=1, max_length=100)]
    """One row per affinity, best first, those without a number last."""

    @model_validator(mode="after")
    def _sound(self) -> FidelityReport:
        if len({row.affinity for row in self.rows}) != len(self.rows):
            raise ValueError("rows: expected each affinity once")
        return self
