"""From coalitions of adjacent layers to the numbers that `coterie transitions` reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from coterie.benchmark.transitions.events import (
    Group,
    Link,
    Thresholds,
    events,
    interaction_mass,
    pair_strength,
)
from coterie.leaderboard.reports.transitions import Coalition, Count, Event, LayerCoalitions, LayerPair, LinkRow

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Options:
    """How coalitions are compared."""

    alpha: float | None = None
    """Threshold of alpha; None for `high_share`."""
    beta: float | None = None
    """Threshold of beta; None for `high_share`."""
    all_pairs: bool = False
    """Whether pairs outside the matching count too."""
    smallest: int = 2
    """Size of the smallest coalition that is compared."""
    draws: int = 100
    """Number of random draws behind the chance level."""
    seed: int = 0
    """Seed of the draws."""


@dataclass(frozen=True)
class LayerArrays:
    """What links a layer's n neurons to the adjacent layers; see `coterie.benchmark.transitions.events.pair_strength`."""

    reads: Tensor
    """Read vectors, shape (parts, n, d)."""
    writes: Tensor
    """Write vectors, shape (n, d)."""
    activity: Tensor
    """Mean absolute activations, shape (n,)."""


def high_share(n_coalitions: int) -> float:
    """The default threshold of alpha and beta: twice an even split over the coalitions, at most two thirds."""
    return min(2 / max(n_coalitions, 1), 2 / 3)


def layer_coalitions(
    layer: int, n_players: int, groups: Sequence[Group], smallest: int, from_record: bool
) -> LayerCoalitions:
    """The coalitions with at least `smallest` members, numbered by their position in the method's answer."""
    kept = [Coalition(number=i, members=list(group)) for i, group in enumerate(groups) if len(group) >= smallest]
    return LayerCoalitions(
        layer=layer,
        n_players=n_players,
        coalitions=kept,
        left_out=len(groups) - len(kept),
        from_record=from_record,
    )


def layer_pair(
    source: LayerCoalitions, target: LayerCoalitions, from_: LayerArrays, to: LayerArrays, options: Options
) -> LayerPair:
    """Events between two adjacent layers, and their chance level.

    The control permutes the neurons of both layers at random, which keeps the sizes and overlaps of the coalitions.
    """
    sources, targets = ([c.members for c in layer.coalitions] for layer in (source, target))
    thresholds = Thresholds(
        alpha=high_share(len(targets)) if options.alpha is None else options.alpha,
        beta=high_share(len(sources)) if options.beta is None else options.beta,
    )
    strength = pair_strength(to.reads, from_.writes, from_.activity)
    found = events(interaction_mass(strength, sources, targets), thresholds, options.all_pairs)
    rng = np.random.default_rng([options.seed, source.layer])

    def draw() -> list[int]:
        permuted = [
            _permuted(groups, rng.permutation(n)) for groups, n in zip((sources, targets), strength.shape, strict=True)
        ]
        drawn = events(interaction_mass(strength, *permuted), thresholds, options.all_pairs)
        return list(drawn.counts().values())

    chance = np.array([draw() for _ in range(options.draws)])
    return LayerPair(
        source_layer=source.layer,
        target_layer=target.layer,
        alpha=thresholds.alpha,
        beta=thresholds.beta,
        counts=[
            _count(event, count, len(targets) if event == "emerge" else len(sources), drawn)
            for (event, count), drawn in zip(found.counts().items(), chance.T, strict=True)
        ],
        sources=[_row(link, source, target) for link in found.sources],
        targets=[_row(link, source, target) for link in found.targets],
    )


def _permuted(groups: Sequence[Group], order: np.ndarray) -> list[list[int]]:
    return [order[list(group)].tolist() for group in groups]


def _count(event: Event, count: int, of: int, drawn: np.ndarray) -> Count:
    if of == 0:
        return Count(event=event, count=count, share=None, chance=None, chance_low=None, chance_high=None)
    low, high = np.quantile(drawn / of, [0.025, 0.975])
    return Count(
        event=event,
        count=count,
        share=count / of,
        chance=float(drawn.mean() / of),
        chance_low=float(low),
        chance_high=float(high),
    )


def _row(link: Link, source: LayerCoalitions, target: LayerCoalitions) -> LinkRow:
    numbers = {
        "source": None if link.source is None else source.coalitions[link.source].number,
        "target": None if link.target is None else target.coalitions[link.target].number,
    }
    return LinkRow(**{**asdict(link), **numbers})
