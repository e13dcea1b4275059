"""PAC-Top-Cover: against a naive loop on the same draws, its distribution and its certificate."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from coterie.methods import hedonic, pac
from coterie.methods.hedonic import Preferences, top_cover
from coterie.methods.pac import SizeLaw, certificate, pac_top_cover
from tests.methods import naive
from tests.methods.test_hedonic import partition

Draw = frozenset[int]


def drawn(law: SizeLaw, rng: np.random.Generator, players: list[int], samples: int) -> list[Draw]:
    chunks = law.draw(rng, len(players), samples)
    return [frozenset(players[i] for i in np.flatnonzero(mask)) for masks in chunks for mask in masks]


def naive_round(phi: np.ndarray, i: int, batch: list[Draw], k: int) -> tuple[tuple[int, ...], set[int]]:
    """Choice set of the best sample and B_i, after step 1."""
    mine = [frozenset({i})] + [sample for sample in batch if i in sample]
    # Of equal utilities the choice set with the better friends: the order of preference, position by position.
    order = {j: rank for rank, j in enumerate(naive.choice_set(phi, i, range(len(phi)), len(phi)))}
    rank = {s: [order[j] for j in naive.choice_set(phi, i, s, k)] for s in mine}
    best = min(mine, key=lambda s: (-naive.utility(phi, i, s, k), rank[s]))
    choice = naive.choice_set(phi, i, best, k)
    return choice, set(frozenset.intersection(*(s for s in mine if naive.choice_set(phi, i, s, k) == choice)))


def naive_pac(
    phi: np.ndarray, k: int, law: SizeLaw, samples: int, refinements: int | None, rng: np.random.Generator, paper: bool
) -> set[frozenset[int]]:
    """Keep samples of remaining players, all of them for players that lose nobody, and examine them afresh."""
    left, groups = set(range(len(phi))), set()
    evidence: dict[int, list[Draw]] = {i: [] for i in left}
    numbered = len(phi)  # below half of these, preferences shrink and all players start again

    def batch() -> list[Draw]:
        players = sorted(left) + (sorted(set(range(len(phi))) - left) if paper else [])
        return [sample for sample in drawn(law, rng, players, samples) if sample <= left]

    def kept(i: int) -> tuple[tuple[int, ...], set[int]]:
        return naive_round(phi, i, evidence[i], k)

    def loose(i: int) -> bool:
        return len(kept(i)[1]) > 1 + len(kept(i)[0])

    while left:
        if paper or 2 * len(left) < numbered:
            evidence = {i: [] for i in left}
            numbered = len(left) if 2 * len(left) < numbered else numbered
        if any(loose(i) or kept(i)[0] != naive.choice_set(phi, i, left, k) for i in left):
            for sample in batch():
                for i in sample:
                    evidence[i].append(sample)
        best = {i: kept(i)[0] for i in left}
        for _ in range(len(left) if refinements is None else refinements):
            if not any(loose(i) for i in left):
                break
            for sample in batch():
                for i in sample:
                    if naive.choice_set(phi, i, sample, k) == best[i]:
                        evidence[i].append(sample)
        wanted = {i: kept(i)[1] for i in left}
        reach = {i: naive.reachable(i, wanted) for i in left}
        sinks = {closed for closed in reach.values() if all(reach[j] == closed for j in closed)}
        groups |= sinks
        left -= set().union(*sinks)
        evidence = {i: [s & left for s in evidence[i]] if set(best[i]) <= left else [] for i in left}
    return groups


@settings(max_examples=100)
@given(
    phi=naive.affinities(),
    k=st.integers(1, 3),
    low=st.integers(1, 4),
    high=st.none() | st.integers(1, 6),
    samples=st.integers(1, 25),
    refinements=st.integers(0, 2) | st.none(),
    seed=st.integers(0, 10**6),
    paper=st.booleans(),
)
def test_pac_top_cover_equals_the_naive_loop_on_the_same_draws(
    phi: np.ndarray,
    k: int,
    low: int,
    high: int | None,
    samples: int,
    refinements: int | None,
    seed: int,
    paper: bool,
) -> None:
    law = SizeLaw(low, high)
    reference = naive_pac(phi, k, law, samples, refinements, np.random.default_rng(seed), paper)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hedonic, "BLOCK", 3 * len(phi))  # so that results of many blocks are merged
        patch.setattr(pac, "_ROWS", 3)
        groups, tally = pac_top_cover(
            Preferences.of(phi), k, law, samples, refinements, np.random.default_rng(seed), paper
        )
    assert partition([groups]) == reference
    assert tally.samples <= samples * tally.rounds * (1 + (len(phi) if refinements is None else refinements))
    assert tally.choice_sets_exact <= tally.choice_sets


@pytest.mark.parametrize("k", [1, 2, 4])
def test_enough_samples_of_all_sizes_yield_the_exact_partition(k: int) -> None:
    rng = np.random.default_rng(k)
    traits = rng.normal(size=(60, 4))
    phi = (traits @ traits.T).astype(np.float32)
    np.fill_diagonal(phi, 0)
    preferences = Preferences.of(phi)
    groups, tally = pac_top_cover(preferences, k, SizeLaw(k + 1), 600, 1, rng)
    assert partition([groups]) == partition(top_cover(preferences, k))
    assert tally.choice_sets_exact == tally.choice_sets


def test_players_in_no_sample_are_alone_and_counted() -> None:
    preferences = Preferences.of(1 - np.eye(6, dtype=np.float32))
    groups, tally = pac_top_cover(preferences, 1, SizeLaw(2, 2), 1, 0, np.random.default_rng(0))
    assert sorted(map(len, groups)) == [1, 1, 1, 1, 2]
    assert (tally.rounds, tally.samples, tally.never_sampled) == (1, 1, 4)


@pytest.mark.parametrize("few", [2, 64], ids=["large subsets", "small subsets"])
@pytest.mark.parametrize("entries", [2**24, 7], ids=["one chunk", "many chunks"])
def test_coalitions_are_drawn_uniformly(monkeypatch: pytest.MonkeyPatch, entries: int, few: int) -> None:
    monkeypatch.setattr(pac, "_DRAWN", entries)
    monkeypatch.setattr(pac, "_FEW", few)
    draws = drawn(SizeLaw(2, 4), np.random.default_rng(0), list(range(5)), 3000)
    sizes, subsets = Counter(map(len, draws)), Counter(draws)
    assert len(draws) == 3000
    assert all(abs(sizes[size] - 1000) < 5 * np.sqrt(1000 * 2 / 3) for size in (2, 3, 4))
    assert len(subsets) == 10 + 10 + 5
    assert all(abs(count - sizes[len(s)] / (5 if len(s) == 4 else 10)) < 50 for s, count in subsets.items())


@pytest.mark.parametrize(
    ("law", "n", "bounds"),
    [(SizeLaw(3), 10, (3, 10)), (SizeLaw(3, 5), 10, (3, 5)), (SizeLaw(3, 5), 4, (3, 4)), (SizeLaw(3, 5), 2, (2, 2))],
)
def test_sizes_fit_the_players_that_remain(law: SizeLaw, n: int, bounds: tuple[int, int]) -> None:
    assert law.bounds(n) == bounds
    sizes = {len(sample) for sample in drawn(law, np.random.default_rng(0), list(range(n)), 200)}
    assert (min(sizes), max(sizes)) == bounds


@given(phi=naive.affinities(), k=st.integers(1, 3), seed=st.integers(0, 1000))
def test_certificate_counts_blocking_coalitions(phi: np.ndarray, k: int, seed: int) -> None:
    n, law, samples = len(phi), SizeLaw(1), 40
    label = np.random.default_rng(seed).integers(0, 3, n)
    groups = [np.flatnonzero(label == value) for value in np.unique(label)]
    own = {i: set(group.tolist()) for group in groups for i in group.tolist()}
    draws = drawn(law, np.random.default_rng(seed), list(range(n)), samples)
    blocking = sum(all(naive.prefers(phi, i, sample, own[i], k) for i in sample) for sample in draws)
    found = certificate(Preferences.of(phi), groups, k, law, samples, np.random.default_rng(seed))
    upper = binomtest(blocking, samples).proportion_ci(0.90, "exact").high  # two-sided 90 % = one-sided 95 %
    assert found["blocking"] == blocking
    assert found["rate"] == blocking / samples
    assert found["upper_95"] == pytest.approx(upper, abs=1e-9)
    assert found["distribution"] == f"size uniform in 1..{n}, then a uniform subset of {n} players"


def test_singletons_that_are_friends_are_always_blocked() -> None:
    alone = [np.array([i]) for i in range(6)]
    found = certificate(
        Preferences.of(1 - np.eye(6, dtype=np.float32)), alone, 1, SizeLaw(2), 50, np.random.default_rng(0)
    )
    assert (found["rate"], found["upper_95"]) == (1.0, 1.0)
