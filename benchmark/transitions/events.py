"""Coalitions of adjacent layers: interaction mass, matching, events. Pure arithmetic on arrays.

1. The strength of neurons p of layer L and q of layer L + 1 is `(|W_up[q, p]| + |W_gate[q, p]|) A_p`. W_up and W_gate are
   the projections of the next layer composed with the down projection of this layer, `W_up[q, p] = up_q . down_p`; A_p is
   the mean absolute activation of p. Without a gate, its term is dropped.
2. The interaction mass of coalitions C and C' is `M(C, C') = 1 / (|C| |C'|) * sum over p in C, q in C' of strength(p, q)`.
3. Shares: `alpha(C, C') = M(C, C') / sum over X of M(C, X)` is the share of the source's outgoing mass that goes to the
   target; `beta(C, C') = M(C, C') / sum over X of M(X, C')` is the share of the target's incoming mass that comes from the
   source.
4. The matching is the one-to-one matching of sources and targets with the largest total mass.
5. The events follow from shares and matching; see `events`.

Reference: Chowdhury, Nijasure, Zick, Allan (2026), Hedonic Neurons, arXiv 2509.23684, "Across layers".

Deviations from the paper: A_p is the mean absolute activation instead of the mean activation, so that gated MLPs, whose
activations have both signs, have no negative mass. As in the paper, W_up and W_gate ignore the norms between the layers.
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
_ROWS = 1024  # neurons per block of strengths


@dataclass(frozen=True)
class Thresholds:
    """The lowest alpha and beta that count as high."""

    alpha: float
    """Threshold of alpha, above 0."""
    beta: float
    """Threshold of beta, above 0."""


@dataclass(frozen=True)
class Link:
    """A coalition and its partner in the other layer."""

    source: int | None
    """Index of the source; None for a target without any mass."""
    target: int | None
    """Index of the target; None for a source without any mass."""
    mass: float
    """Their interaction mass."""
    alpha: float
    """Share of the source's outgoing mass."""
    beta: float
    """Share of the target's incoming mass."""
    matched: bool
    """Whether the matching pairs them."""
    event: Event
    """What happens to the coalition."""


@dataclass(frozen=True)
class Transition:
    """What becomes of every source, and where every target comes from."""

    sources: tuple[Link, ...]
    """One link per source, in order."""
    targets: tuple[Link, ...]
    """One link per target, in order."""

    def counts(self) -> dict[Event, int]:
        """Number of sources per event, and of targets that emerge."""
        found = Counter(link.event for link in self.sources)
        found.update(link.event for link in self.targets if link.event == "emerge")
        return {event: found[event] for event in (*SOURCE_EVENTS, "emerge")}


def pair_strength(reads: Tensor, writes: Tensor, activity: Tensor) -> np.ndarray:
    """Strength of every neuron of a layer and every neuron of the next, shape (n, m), float32.

    Shapes: `writes` (n, d) and `activity` (n,) of the n neurons of the layer; `reads` (parts, m, d) of the m neurons of the
    next layer.
    """
    strength = np.empty((len(writes), reads.shape[1]), dtype=np.float32)
    for start in range(0, len(writes), _ROWS):
        rows = slice(start, start + _ROWS)
        linked = sum((writes[rows] @ part.T).abs() for part in reads)
        strength[rows] = (linked * activity[rows, None]).numpy()
    return strength


def interaction_mass(strength: np.ndarray, sources: Sequence[Group], targets: Sequence[Group]) -> np.ndarray:
    """M, shape (sources, targets): the mean strength over all pairs of a source's and a target's members.

    Coalitions may overlap; neurons in no coalition are ignored. The means over sources are float32, which avoids a copy of
    the strengths; everything after them is float64.
    """
    n, m = strength.shape
    by_source = _mean_over(sources, n, np.float32) @ strength
    return np.asarray(_mean_over(targets, m, np.float64) @ by_source.T).T


def shares(mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Alpha and beta, shape (sources, targets); 0 if there is no mass to share."""
    outgoing, incoming = mass.sum(1, keepdims=True), mass.sum(0, keepdims=True)
    alpha = np.divide(mass, outgoing, out=np.zeros_like(mass), where=outgoing > 0)
    beta = np.divide(mass, incoming, out=np.zeros_like(mass), where=incoming > 0)
    return alpha, beta


def matching(mass: np.ndarray) -> dict[int, int]:
    """The one-to-one matching with the largest total mass, as source -> target; pairs without mass are not matched."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(mass, maximize=True)
    return {int(s): int(t) for s, t in zip(rows, columns, strict=True) if mass[s, t] > 0}


def events(mass: np.ndarray, thresholds: Thresholds, all_pairs: bool = False) -> Transition:
    """What becomes of every source and where every target comes from.

    Alpha and beta of a source and a target are high if they reach their thresholds. The source

    - *persists* in the target if both are high and the matching pairs them;
    - *splits* if only beta is high: the target is one of several parts of it;
    - *merges* if only alpha is high: it is one of several parts of the target;
    - if both are high without a match, merges when the target's match has at least the same mass, and otherwise splits.

    A coalition's event is that with its match. If both shares with the match are low, or there is no match or no mass, a
    source *vanishes* and a target *emerges*. Every coalition thus has one event, and no link leaves a vanishing source or
    enters an emerging target. However, the second half of a split emerges, and the second part of a merge vanishes.

    With `all_pairs`, pairs outside the matching count too: a coalition whose shares with its match are low has its event
    with the heaviest partner with a high share (the first of equals), so that halves and parts are recognised as such. The
    price is that a source far more active than all others has a high beta with every target, and nothing emerges.
    """
    alpha, beta = shares(mass)
    match = matching(mass)
    matched = np.zeros(mass.shape, dtype=bool)
    matched[list(match), list(match.values())] = True
    high = (mass > 0) & ((alpha >= thresholds.alpha) | (beta >= thresholds.beta)) & (matched | all_pairs)
    match_mass = np.where(matched, mass, 0.0).max(0, initial=0.0)  # per target

    def event(source: int, target: int) -> Event:
        high_alpha, high_beta = alpha[source, target] >= thresholds.alpha, beta[source, target] >= thresholds.beta
        if high_alpha and high_beta and not matched[source, target]:
            return "merge" if match_mass[target] >= mass[source, target] else "split"
        return "persist" if high_alpha and high_beta else "merge" if high_alpha else "split"

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
    """The partner that decides a coalition's event, from its rows of shape (partners,).

    The first that exists of: its match if high, the heaviest high partner, its match, the heaviest partner.
    """
    for among in (high & matched, high, matched, mass > 0):
        if among.any():
            return int(np.where(among, mass, -1.0).argmax())
    return None


def _mean_over(groups: Sequence[Group], n: int, dtype: type) -> Any:
    """Sparse matrix, shape (groups, n), whose rows take the mean over a group's members."""
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *(len(group) for group in groups)])
    members = np.fromiter((i for group in groups for i in group), dtype=np.int64, count=int(ends[-1]))
    weights: np.ndarray = np.repeat(1.0 / np.maximum(np.diff(ends), 1), np.diff(ends)).astype(dtype)
    return csr_array((weights, members, ends), shape=(len(groups), n))
