"""What a metric is: a name, a unit, a direction, and its values for a method's coalitions and for their controls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from coterie.benchmark.protocol.bench import Bench, Evaluated, Need
from coterie.methods.coalitions import Coalitions


@dataclass(frozen=True)
class Answer:
    """A method's coalitions, as the metrics receive them."""

    coalitions: Coalitions
    """All its coalitions, strongest first."""
    evaluated: Sequence[Evaluated]
    """Those of an eligible size that are evaluated, with their samples."""


@dataclass(frozen=True)
class Contribution:
    """A metric on one domain, per query: its value is sum(numerator - control) / sum(denominator)."""

    domain: str
    """Name of the domain, or of what the value is about."""
    numerator: np.ndarray
    """The method's numerators, shape (queries,)."""
    control: np.ndarray
    """The numerators of the size-matched random controls, averaged over them, shape (queries,)."""
    denominator: np.ndarray
    """The denominators that both share, shape (queries,)."""
    noise_floor: float | None = None
    """The largest absolute value of the same computation when the true value is exactly zero."""
    discovery: float | None = None
    """The method's own value on the discovery queries, which it has seen."""
    curve: tuple[tuple[float, float, float], ...] = ()
    """Rows (x, method, control) of a curve behind the value."""


@dataclass(frozen=True)
class Figure:
    """A number on one domain that is not a sum over queries.

    It is shown and never ranked, since it cannot be paired with another method's query by query.
    """

    domain: str
    """Name of the domain, or of what the number is about."""
    value: float
    """The method's value."""
    low: float | None = None
    """Lower end of an exact 95% interval."""
    high: float | None = None
    """Upper end of an exact 95% interval."""
    control: float | None = None
    """The value of the controls."""
    note: str = ""
    """How the value was computed, in one line."""


class Metric(ABC):
    """One metric of the protocol."""

    name: ClassVar[str]
    """Unique name, as in `coterie info NAME`."""
    unit: ClassVar[str]
    """Unit of the value."""
    higher_is_better: ClassVar[bool] = True
    """Direction of the ranking."""
    primary: ClassVar[bool] = True
    """Whether the metric is ranked on its `domains`; anywhere else it is only shown."""
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What a task must provide beyond ablations. The metric is absent on a task without these."""
    domains: ClassVar[tuple[str, ...]] = ("heldout",)
    """The domains that are always reported, with a reason if the value is missing."""
    any_size: ClassVar[bool] = False
    """Whether coalitions of any size are judged. Other metrics need at least one coalition of an eligible size."""
    summary: ClassVar[str]
    """One-line description."""

    @abstractmethod
    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        """One result per domain. `answer.evaluated` is not empty unless the metric judges coalitions of any size."""


def mean_contribution(domain: str, method: np.ndarray, control: np.ndarray) -> Contribution:
    """A plain mean over coalitions and queries; `method` and `control` have shape (coalitions, queries)."""
    return Contribution(domain, method.mean(0), control.mean(0), np.ones(method.shape[1]))


def pooled(domain: str, parts: Sequence[Contribution]) -> Contribution:
    """Several domains as one, their queries concatenated."""
    return Contribution(
        domain,
        np.concatenate([p.numerator for p in parts]),
        np.concatenate([p.control for p in parts]),
        np.concatenate([p.denominator for p in parts]),
    )
