"""Coalitions of adjacent layers: interaction mass, matching, events. Arithmetic on arrays alone.

1. Strength of a pair of neurons, p of layer L and q of layer L + 1: ``(|W_up[q, p]| + |W_gate[q, p]|) A_p`` with W_* the next
   layer's projection composed with this layer's down projection, ``W_up[q, p] = up_q . down_p``, and A_p the mean
   absolute activation of p. Without a gate its term is left out.
2. Interaction mass ``M(C, C') = 1 / (|C| |C'|) * sum over p in C, q in C' of strength(p, q)``.
3. Shares: ``alpha(C, C') = M(C, C') / sum over X of M(C, X)``, of the source's outgoing mass what goes to the target;
   ``beta(C, C') = M(C, C') / sum over X of M(X, C')``, of the target's incoming mass what comes from the source.
4. Matching: the one-to-one matching of sources and targets with the largest total mass.
5. Events (:func:`events`).

Reference: Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684, "Across layers".

Deviations from the paper: A_p is the mean of the absolute activation, where the paper has the mean activation, so that
gated MLPs, whose activations have both signs, give no negative mass. As in the paper, the norms between the layers stay out
of W_*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from coterie.leaderboard.reports.transitions import SOURCE_EVENTS, Event

if TYPE_CHECKING:
    from torch import Tensor

Group = Sequence[int]
_ROWS = 1024  # neurons whose strengths to all of the next layer are computed at once


@dataclass(frozen=True)
class Thresholds:
    """From which share on, above 0, alpha and beta are high."""

    alpha: float
    beta: float


@dataclass(frozen=True)
class Link:
    """A coalition (by its place) and whom it is held against in the other layer; None where it has no mass with any."""

    source: int | None
    target: int | None
    mass: float
    alpha: float
    beta: float
    matched: bool
    event: Event


@dataclass(frozen=True)
class Transition:
    """What becomes of every source, and where every target comes from: one link each, in order."""

    sources: tuple[Link, ...]
    targets: tuple[Link, ...]

    def counts(self) -> dict[Event, int]:
        """Sources by event, and targets that emerge."""
        found = Counter(link.event for link in self.sources)
        found.update(link.event for link in self.targets if link.event == "emerge")
        return {event: found[event] for event in (*SOURCE_EVENTS, "emerge")}


def pair_strength(reads: Tensor, writes: Tensor, activity: Tensor) -> np.ndarray:
    """Strength [n, m] of neurons p (n write vectors [n, d], activity [n]) and q (m read vectors in parts [parts, m, d])."""
    strength = np.empty((len(writes), reads.shape[1]), dtype=np.float32)
    for start in range(0, len(writes), _ROWS):
        rows = slice(start, start + _ROWS)
        linked = sum((writes[rows] @ part.T).abs() for part in reads)
        strength[rows] = (linked * activity[rows, None]).numpy()
    return strength


def interaction_mass(strength: np.ndarray, sources: Sequence[Group], targets: Sequence[Group]) -> np.ndarray:
    """M [sources, targets]: the mean strength over all pairs of a source's and a target's members.

    Coalitions may overlap, and neurons of none count nowhere. The means over sources are in float32, so that no copy of
    the strengths is made, all that follows in float64.
    """
    n, m = strength.shape
    by_source = _mean_over(sources, n, np.float32) @ strength
    return np.asarray(_mean_over(targets, m, np.float64) @ by_source.T).T


def shares(mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Alpha and beta [sources, targets]; 0 where there is no mass to share."""
    outgoing, incoming = mass.sum(1, keepdims=True), mass.sum(0, keepdims=True)
    alpha = np.divide(mass, outgoing, out=np.zeros_like(mass), where=outgoing > 0)
    beta = np.divide(mass, incoming, out=np.zeros_like(mass), where=incoming > 0)
    return alpha, beta


def matching(mass: np.ndarray) -> dict[int, int]:
    """Source -> target of the one-to-one matching with the largest total mass; a pair without mass is no match."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(mass, maximize=True)
    return {int(s): int(t) for s, t in zip(rows, columns, strict=True) if mass[s, t] > 0}


def events(mass: np.ndarray, thresholds: Thresholds, all_pairs: bool = False) -> Transition:
    """What becomes of every source and where every target comes from.

    With alpha and beta of a source and a target, high from their threshold on, the source

    - *persists* in the target where both are high and the matching pairs them;
    - *splits*, the target being one of several parts of it, where only beta is high;
    - *merges*, being one of several parts of the target, where only alpha is high;
    - where both are high without a match it merges into a target whose match has at least its mass, else it splits.

    A coalition's event is that with its match. Where both shares are low there, or the matching leaves it over, or it has no
    mass, a source *vanishes*, a target *emerges*. So each has one event, and no link leads from a source that vanishes or to
    a target that emerges. But the second half of a split emerges, and the second part of a merge vanishes.

    ``all_pairs``: pairs beyond the matching count too. A coalition whose shares with its match are low has its event with the
    heaviest of those with whom one is high (the first of equals): halves and parts are then told as such. The price is
    that one source that is far more active than all others has high beta with every target, and nothing emerges.
    """
    alpha, beta = shares(mass)
    match = matching(mass)
    matched = np.zeros(mass.shape, dtype=bool)
    matched[list(match), list(match.values())] = True
    high = (mass > 0) & ((alpha >= thresholds.alpha) | (beta >= thresholds.beta)) & (matched | all_pairs)
    match_mass = np.where(matched, mass, 0.0).max(0, initial=0.0)  # of each target

    def event(source: int, target: int) -> Event:
        much, mostly = alpha[source, target] >= thresholds.alpha, beta[source, target] >= thresholds.beta
        if much and mostly and not matched[source, target]:
            return "merge" if match_mass[target] >= mass[source, target] else "split"
        return "persist" if much and mostly else "merge" if much else "split"

    def link(pair: tuple[int, int], found: Event) -> Link:
        return Link(*pair, float(mass[pair]), float(alpha[pair]), float(beta[pair]), bool(matched[pair]), found)

    def of_source(source: int) -> Link:
        target = _partner(mass[source], matched[source], high[source])
        if target is None:
            return Link(source, None, 0.0, 0.0, 0.0, False, "vanish")
        return link((source, target), event(source, target) if high[source, target] else "vanish")

    def of_target(target: int) -> Link:
        source = _partner(mass[:, target], matched[:, target], high[:, target])
        if source is None:
            return Link(None, target, 0.0, 0.0, 0.0, False, "emerge")
        return link((source, target), event(source, target) if high[source, target] else "emerge")

    return Transition(
        tuple(of_source(s) for s in range(mass.shape[0])), tuple(of_target(t) for t in range(mass.shape[1]))
    )


def _partner(mass: np.ndarray, matched: np.ndarray, high: np.ndarray) -> int | None:
    """Whom a coalition is held against: the first that there is of its high match, the heaviest high one, its match,
    the heaviest of all.
    """
    for among in (high & matched, high, matched, mass > 0):
        if among.any():
            return int(np.where(among, mass, -1.0).argmax())
    return None


def _mean_over(groups: Sequence[Group], n: int, dtype: type) -> Any:
    """Sparse [groups, n], rows that take the mean over a group's members."""
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *(len(group) for group in groups)])
    members = np.fromiter((i for group in groups for i in group), dtype=np.int64, count=int(ends[-1]))
    weights: np.ndarray = np.repeat(1.0 / np.maximum(np.diff(ends), 1), np.diff(ends)).astype(dtype)
    return csr_array((weights, members, ends), shape=(len(groups), n))
