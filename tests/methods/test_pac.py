"""PAC-Top-Cover against a naive loop on the same draws, its distribution, and its certificate."""

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
    # Of equal utilities the choice set with the better ranks: the order of preference, position by position.
    order = {j: rank for rank, j in enumerate(naive.choice_set(phi, i, range(len(phi)), len(phi)))}
    rank = {s: [order[j] for j in naive.choice_set(phi, i, s, k)] for s in mine}
    best = min(mine, key=lambda s: (-naive.utility(phi, i, s, k), rank[s]))
    choice = naive.choice_set(phi, i, best, k)
    return choice, set(frozenset.intersection(*(s for s in mine if naive.choice_set(phi, i, s, k) == choice)))


def naive_pac(
    phi: np.ndarray, k: int, law: SizeLaw, samples: int, refinements: int, rng: np.random.Generator
) -> set[frozenset[int]]:
    left, groups = set(range(len(phi))), set()
    while left:
        players = sorted(left)
        batch = drawn(law, rng, players, samples)
        kept = {i: naive_round(phi, i, batch, k) for i in players}
        for _ in range(refinements):
            if all(len(wanted) == 1 + len(choice) for choice, wanted in kept.values()):
                break
            for sample in drawn(law, rng, players, samples):
                for i in sample:
                    if naive.choice_set(phi, i, sample, k) == kept[i][0]:
                        kept[i][1].intersection_update(sample)
        reach = {i: naive.reachable(i, {j: wanted for j, (_, wanted) in kept.items()}) for i in players}
        sinks = {closed for closed in reach.values() if all(reach[j] == closed for j in closed)}
        groups |= sinks
        left -= set().union(*sinks)
    return groups


@settings(max_examples=150)
@given(
    phi=naive.affinities(),
    k=st.integers(1, 3),
    low=st.integers(1, 4),
    high=st.none() | st.integers(1, 6),
    samples=st.integers(1, 25),
    refinements=st.integers(0, 2),
    seed=st.integers(0, 10**6),
)
def test_equals_the_naive_loop_on_the_same_draws(
    phi: np.ndarray, k: int, low: int, high: int | None, samples: int, refinements: int, seed: int
) -> None:
    law = SizeLaw(low, high)
    reference = naive_pac(phi, k, law, samples, refinements, np.random.default_rng(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hedonic, "BLOCK", 3 * len(phi))  # so that what players keep is merged over many blocks
        groups, tally = pac_top_cover(Preferences.of(phi), k, law, samples, refinements, np.random.default_rng(seed))
    assert partition([groups]) == reference
    assert tally.samples <= samples * tally.rounds * (1 + refinements)
    assert tally.choice_sets_exact <= tally.choice_sets


@pytest.mark.parametrize("k", [1, 2, 4])
def test_enough_samples_of_all_sizes_give_the_exact_partition(k: int) -> None:
    rng = np.random.default_rng(k)
    traits = rng.normal(size=(60, 4))
    preferences = Preferences.of((traits @ traits.T).astype(np.float32))
    groups, tally = pac_top_cover(preferences, k, SizeLaw(k + 1), 600, 1, rng)
    assert partition([groups]) == partition(top_cover(preferences, k))
    assert tally.choice_sets_exact == tally.choice_sets


def test_players_in_no_sample_are_alone_and_counted() -> None:
    preferences = Preferences.of(np.ones((6, 6), np.float32))
    groups, tally = pac_top_cover(preferences, 1, SizeLaw(2, 2), 1, 0, np.random.default_rng(0))
    assert sorted(map(len, groups)) == [1, 1, 1, 1, 2]
    assert (tally.rounds, tally.samples, tally.never_sampled) == (1, 1, 4)


@pytest.mark.parametrize("entries", [2**24, 7], ids=["one chunk", "many chunks"])
def test_coalitions_are_drawn_uniformly(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    monkeypatch.setattr(pac, "_DRAWN", entries)
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


def test_a_partition_of_loners_who_like_each_other_is_blocked_always() -> None:
    alone = [np.array([i]) for i in range(6)]
    found = certificate(Preferences.of(np.ones((6, 6), np.float32)), alone, 1, SizeLaw(2), 50, np.random.default_rng(0))
    assert (found["rate"], found["upper_95"]) == (1.0, 1.0)
