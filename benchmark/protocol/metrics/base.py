"""What a metric is: a name, a unit, a direction, and what it says of a method's coalitions and of their controls."""

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
    """What a method answered: all its coalitions, and those of an eligible size as they are judged."""

    coalitions: Coalitions
    evaluated: Sequence[Evaluated]


@dataclass(frozen=True)
class Contribution:
    """A metric on one domain, by query [Q]: ``sum(numerator) / sum(denominator)`` is its value.

    ``control`` is the numerator of the size-matched random controls, averaged over them, on the same queries.
    ``noise_floor``: the largest value that this computation gave where the truth is exactly zero. ``discovery``: the
    method's own value on the queries that it has seen. ``curve``: rows (x, method, control) of a curve behind the value.
    """

    domain: str
    numerator: np.ndarray
    control: np.ndarray
    denominator: np.ndarray
    noise_floor: float | None = None
    discovery: float | None = None
    curve: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Figure:
    """A number on one domain that is no sum over queries: with an exact interval of its own, or with none.

    ``note`` says how it came about. It is shown, never ranked: nothing pairs it with another method's.
    """

    domain: str
    value: float
    low: float | None = None
    high: float | None = None
    control: float | None = None
    note: str = ""


class Metric(ABC):
    """One metric of the protocol.

    ``domains`` are those that it always reports; a ``primary`` metric is ranked there, on other domains it is only
    shown. ``needs`` says what a task must have beyond ablations: on a task without it the metric does not apply and is
    absent. A ``whole`` metric judges all coalitions of whatever size; the others need one of an eligible size.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    primary: ClassVar[bool] = True
    needs: ClassVar[frozenset[Need]] = frozenset()
    domains: ClassVar[tuple[str, ...]] = ("heldout",)
    whole: ClassVar[bool] = False
    summary: ClassVar[str]

    @abstractmethod
    def measure(self, bench: Bench, answer: Answer) -> list[Contribution | Figure]:
        """What the metric says, one a domain. ``answer.evaluated`` has at least one, but for a ``whole`` metric."""


def mean_contribution(domain: str, method: np.ndarray, control: np.ndarray) -> Contribution:
    """A plain mean over queries from rows [coalitions, Q] of the method and of its controls [coalitions, Q]."""
    return Contribution(domain, method.mean(0), control.mean(0), np.ones(method.shape[1]))


def pooled(domain: str, parts: Sequence[Contribution]) -> Contribution:
    """Several domains as one: their queries side by side."""
    return Contribution(
        domain,
        np.concatenate([p.numerator for p in parts]),
        np.concatenate([p.control for p in parts]),
        np.concatenate([p.denominator for p in parts]),
    )
