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
gated MLPs, whose activations have both signs, give no negative mass. What the matching leaves over is held against its
heaviest partner, so that the second half of a split is one too. The norms between the layers stay out of W_*, as in the paper.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Group = Sequence[int]
Event = Literal["persist", "split", "merge", "vanish", "emerge"]
SOURCE_EVENTS: tuple[Event, ...] = ("persist", "split", "merge", "vanish")
TARGET_EVENTS: tuple[Event, ...] = ("persist", "split", "merge", "emerge")
_ROWS = 1024  # neurons whose strengths to all of the next layer are computed at once


@dataclass(frozen=True)
class Thresholds:
    """From which share on, above 0, alpha and beta are high."""

    alpha: float
    beta: float


@dataclass(frozen=True)
class Link:
    """A coalition (by its number) with its partner in the other layer; None where it has no mass with any."""

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
    """M [sources, targets] in float64: the mean strength over all pairs of a source's and a target's members.

    Coalitions may overlap, and neurons of none count nowhere.
    """
    n, m = strength.shape
    return np.asarray(_mean_over(targets, m) @ np.asarray(_mean_over(sources, n) @ strength).T).T


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


def events(mass: np.ndarray, thresholds: Thresholds) -> Transition:
    """What becomes of every source and where every target comes from.

    A coalition is held against its partner: its match, or where the matching leaves it over, whom it has most mass with
    (the first of equals). With alpha and beta of that pair, high from their threshold on:

    - both high: the source *persists* in the target. Only in its match: the second source of one target is part of a
      *merge*, the second target of one source of a *split*;
    - alpha low, beta high: *split*, the target is one of several parts of the source;
    - alpha high, beta low: *merge*, the source is one of several parts of the target;
    - both low, or no mass at all: a source *vanishes*, a target *emerges*.

    A source that vanishes by its partner, but is the source of a target's split or merge, takes part in that instead;
    likewise a target that emerges by its partner, but that a source splits or merges into (the heaviest of them). So every
    source persists, splits, merges or vanishes, every target persists, is of a split, of a merge, or emerges, and nothing
    leads to a target that emerges or from a source that vanishes.
    """
    alpha, beta = shares(mass)
    match = matching(mass)
    origin = {target: source for source, target in match.items()}

    def link(source: int, target: int, over: Event, neither: Event) -> Link:
        a, b = float(alpha[source, target]), float(beta[source, target])
        matched = match.get(source) == target
        table: dict[tuple[bool, bool], Event] = {
            (True, True): "persist" if matched else over,
            (False, True): "split",
            (True, False): "merge",
            (False, False): neither,
        }
        event = table[a >= thresholds.alpha, b >= thresholds.beta]
        return Link(source, target, float(mass[source, target]), a, b, matched, event)

    def of_source(source: int) -> Link:
        if not mass[source].any():
            return Link(source, None, 0.0, 0.0, 0.0, False, "vanish")
        return link(source, match.get(source, int(mass[source].argmax())), "merge", "vanish")

    def of_target(target: int) -> Link:
        if not mass[:, target].any():
            return Link(None, target, 0.0, 0.0, 0.0, False, "emerge")
        return link(origin.get(target, int(mass[:, target].argmax())), target, "split", "emerge")

    sources = [of_source(source) for source in range(mass.shape[0])]
    targets = [of_target(target) for target in range(mass.shape[1])]
    to = {one.source: one for one in sorted(targets, key=lambda one: one.mass) if one.event != "emerge"}
    into = {one.target: one for one in sorted(sources, key=lambda one: one.mass) if one.event != "vanish"}
    return Transition(
        tuple(to.get(one.source, one) if one.event == "vanish" else one for one in sources),
        tuple(into.get(one.target, one) if one.event == "emerge" else one for one in targets),
    )


def _mean_over(groups: Sequence[Group], n: int) -> object:
    """Sparse [groups, n], rows that take the mean over a group's members."""
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *(len(group) for group in groups)])
    members = np.fromiter((i for group in groups for i in group), dtype=np.int64, count=int(ends[-1]))
    weights = np.repeat(1.0 / np.maximum(np.diff(ends), 1), np.diff(ends))
    return csr_array((weights, members, ends), shape=(len(groups), n))
