"""What a metric is: a name, a unit, a direction, and per-query contributions for a method and for its controls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from coterie.benchmark.bench import Bench, Evaluated, Need


@dataclass(frozen=True)
class Contribution:
    """A metric on one domain, by query [Q]: ``sum(numerator) / sum(denominator)`` is its value.

    ``control`` is the numerator of the size-matched random controls, averaged over them, on the same queries.
    """

    domain: str
    numerator: np.ndarray
    control: np.ndarray
    denominator: np.ndarray


class Metric(ABC):
    """One metric of the protocol; its values on ``ranked_domains`` are ranked, those on other domains only shown.

    ``needs`` says what a task must have beyond ablations; on a task without it the metric does not apply and is absent.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[frozenset[Need]] = frozenset()
    ranked_domains: ClassVar[tuple[str, ...]]
    summary: ClassVar[str]

    @abstractmethod
    def measure(self, bench: Bench, coalitions: Sequence[Evaluated]) -> list[Contribution]:
        """Per-query contributions, one :class:`Contribution` a domain. ``coalitions`` has at least one."""


def mean_contribution(domain: str, method: np.ndarray, control: np.ndarray) -> Contribution:
    """A plain mean over queries from rows [coalitions, Q] of the method and of its controls [coalitions, Q]."""
    return Contribution(domain, method.mean(0), control.mean(0), np.ones(method.shape[1]))
