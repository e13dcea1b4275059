"""Mass, matching and events against brute force, on planted matrices, and by their properties."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coterie.benchmark.transitions.events import (
    Thresholds,
    events,
    interaction_mass,
    matching,
    pair_strength,
    shares,
)
from coterie.leaderboard.reports.transitions import SOURCE_EVENTS, TARGET_EVENTS

HALF = Thresholds(alpha=0.6, beta=0.6)
MASSES = arrays(
    np.float64,
    st.tuples(st.integers(0, 6), st.integers(0, 6)),
    elements=st.one_of(st.just(0.0), st.floats(0.01, 100.0)),
)
LIMITS = st.builds(Thresholds, alpha=st.floats(0.01, 1), beta=st.floats(0.01, 1))


@pytest.mark.parametrize("parts", [1, 2])
def test_mass_equals_its_definition(parts: int) -> None:
    generator = torch.Generator().manual_seed(0)
    reads, writes = torch.randn(parts, 7, 5, generator=generator), torch.randn(9, 5, generator=generator)
    activity = torch.rand(9, generator=generator)
    sources, targets = [(0, 1, 4), (4, 8), (2,)], [(6,), (0, 1, 2, 3), (3, 5)]  # they overlap and omit neurons
    expected = np.zeros((3, 3))
    for i, c in enumerate(sources):
        for j, d in enumerate(targets):
            for p in c:
                for q in d:
                    composed = [sum(float(part[q, k] * writes[p, k]) for k in range(5)) for part in reads]
                    expected[i, j] += sum(abs(w) for w in composed) * float(activity[p]) / (len(c) * len(d))
    got = interaction_mass(pair_strength(reads, writes, activity), sources, targets)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_strength_does_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    reads, writes = torch.randn(2, 6, 4, generator=generator), torch.randn(10, 4, generator=generator)
    activity = torch.rand(10, generator=generator)
    whole = pair_strength(reads, writes, activity)
    monkeypatch.setattr("coterie.benchmark.transitions.events._ROWS", 3)
    np.testing.assert_allclose(pair_strength(reads, writes, activity), whole, rtol=1e-5, atol=1e-6)


def test_every_event_is_recognised() -> None:
    mass = np.zeros((6, 6))
    mass[0, 0] = 1.0  # persists
    mass[1, 1], mass[1, 2] = 1.0, 0.9  # splits into two
    mass[2, 3], mass[3, 3] = 1.0, 0.9  # merge into one
    # source 4 has no mass; source 5 spreads evenly and thinly over the targets of others
    mass[5, :4] = 0.1
    found = events(mass, HALF, all_pairs=True)
    assert [link.event for link in found.sources] == ["persist", "split", "merge", "merge", "vanish", "vanish"]
    assert [link.event for link in found.targets] == ["persist", "split", "split", "merge", "emerge", "emerge"]
    assert [link.matched for link in found.sources[:4]] == [True, True, True, False]
    assert (found.sources[4].target, found.targets[4].source) == (None, None)
    assert found.targets[2].source == 1, "the second half of the split, which the matching pairs with source 5"
    assert found.sources[3].target == 3, "the second part of the merge, which the matching leaves over"
    assert found.counts() == {"persist": 1, "split": 1, "merge": 2, "vanish": 2, "emerge": 2}
    paper = events(mass, HALF)
    assert [link.event for link in paper.sources] == ["persist", "split", "merge", "vanish", "vanish", "vanish"]
    assert [link.event for link in paper.targets] == ["persist", "split", "emerge", "merge", "emerge", "emerge"]


@pytest.mark.parametrize(
    ("alpha", "beta", "event"),
    [(0.5, 0.5, "persist"), (0.51, 0.5, "split"), (0.5, 0.51, "merge"), (0.51, 0.51, "vanish")],
)
def test_a_share_equal_to_its_threshold_is_high(alpha: float, beta: float, event: str) -> None:
    mass = np.array([[2.0, 2.0], [2.0, 2.0]])
    found = events(mass, Thresholds(alpha, beta))
    assert {link.event for link in found.sources} == {event}


def test_only_one_source_persists_in_a_target() -> None:
    mass = np.array([[5.0], [4.0]])
    low = events(mass, Thresholds(0.3, 0.3), all_pairs=True)
    assert [link.event for link in low.sources] == ["persist", "merge"]
    high = events(mass.T, Thresholds(0.3, 0.3), all_pairs=True)
    assert [link.event for link in high.targets] == ["persist", "split"]


def by_definition(mass: np.ndarray, limits: Thresholds, all_pairs: bool) -> tuple[list[str], list[str]]:
    """The events of sources and targets, pair by pair as in the docstring; slow."""
    n, m = mass.shape
    match = matching(mass)

    def share(part: float, whole: float) -> float:
        return part / whole if whole else 0.0

    def kind(s: int, t: int) -> str | None:
        a, b = share(mass[s, t], mass[s].sum()), share(mass[s, t], mass[:, t].sum())
        if mass[s, t] == 0 or (not all_pairs and match.get(s) != t):
            return None
        if a >= limits.alpha and b >= limits.beta:
            if match.get(s) == t:
                return "persist"
            rivals = [mass[x, t] for x in match if match[x] == t]
            return "merge" if rivals and rivals[0] >= mass[s, t] else "split"
        return "merge" if a >= limits.alpha else "split" if b >= limits.beta else None

    def first(pairs: list[tuple[int, int]], neither: str) -> str:
        found = [pair for pair in pairs if kind(*pair)]
        best = sorted(found, key=lambda pair: (match.get(pair[0]) != pair[1], -mass[pair], pair))
        return str(kind(*best[0])) if best else neither

    return (
        [first([(s, t) for t in range(m)], "vanish") for s in range(n)],
        [first([(s, t) for s in range(n)], "emerge") for t in range(m)],
    )


@given(MASSES, LIMITS, st.booleans())
@settings(max_examples=200, deadline=None)
def test_events_equal_their_definition(mass: np.ndarray, limits: Thresholds, all_pairs: bool) -> None:
    found = events(mass, limits, all_pairs)
    sources, targets = by_definition(mass, limits, all_pairs)
    assert [link.event for link in found.sources] == sources
    assert [link.event for link in found.targets] == targets


@given(MASSES, LIMITS, st.booleans())
@settings(max_examples=200, deadline=None)
def test_shares_and_events_are_consistent(mass: np.ndarray, limits: Thresholds, all_pairs: bool) -> None:
    alpha, beta = shares(mass)
    for share, sums in ((alpha, alpha.sum(1)), (beta, beta.sum(0))):
        assert (share >= 0).all()
        assert ((np.abs(sums - 1) < 1e-9) | (sums == 0)).all()
    found = events(mass, limits, all_pairs)
    assert [link.source for link in found.sources] == list(range(mass.shape[0]))
    assert [link.target for link in found.targets] == list(range(mass.shape[1]))
    assert all(link.event in SOURCE_EVENTS for link in found.sources)
    assert all(link.event in TARGET_EVENTS for link in found.targets)
    counts = found.counts()
    assert sum(counts[event] for event in SOURCE_EVENTS) == mass.shape[0]
    assert [link.event for link in found.sources].count("persist") == [link.event for link in found.targets].count(
        "persist"
    )
    gone = {link.source for link in found.sources if link.event == "vanish"}
    new = {link.target for link in found.targets if link.event == "emerge"}
    assert not gone & {link.source for link in found.targets if link.event != "emerge"}
    assert not new & {link.target for link in found.sources if link.event != "vanish"}
    by_pair: dict[tuple[int | None, int | None], set[str]] = {}
    for link in (*found.sources, *found.targets):
        if link.event not in ("vanish", "emerge"):
            by_pair.setdefault((link.source, link.target), set()).add(link.event)
    assert all(len(kinds) == 1 for kinds in by_pair.values()), "both sides agree on a pair"


@given(MASSES)
@settings(max_examples=100, deadline=None)
def test_the_matching_has_the_largest_mass(mass: np.ndarray) -> None:
    got = sum(mass[s, t] for s, t in matching(mass).items())
    small, large = sorted(mass.shape)
    wide = mass if mass.shape[0] == small else mass.T
    best = max((sum(wide[i, j] for i, j in enumerate(order)) for order in permutations(range(large), small)), default=0)
    assert got == pytest.approx(best)


@given(st.integers(0, 2**32 - 1), LIMITS)
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_coalitions_does_not_matter(seed: int, limits: Thresholds) -> None:
    rng = np.random.default_rng(seed)
    mass = rng.random((rng.integers(1, 6), rng.integers(1, 6)))  # no ties, so the matching is unique
    rows, columns = rng.permutation(mass.shape[0]), rng.permutation(mass.shape[1])
    plain, mixed = events(mass, limits), events(mass[rows][:, columns], limits)
    assert [mixed.sources[i].event for i in np.argsort(rows)] == [link.event for link in plain.sources]
    assert [mixed.targets[i].event for i in np.argsort(columns)] == [link.event for link in plain.targets]
