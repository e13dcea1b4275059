"""The bootstrap against slow definitions, and its error rates in simulations."""

from dataclasses import asdict
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, t

from coterie.leaderboard.statistics.bootstrap import (
    SEED,
    Array,
    bootstrap_weights,
    holm,
    minimum_detectable_difference,
    ranks,
    ratio_interval,
    resample,
    worst_ranks,
)
from docs.tables.ranking_power import paired_difference

p_values = st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=7)


def drawn(n: int, seed: int = 0) -> tuple[Array, Array]:
    """A ratio over n queries: numerators of either sign, positive denominators."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 1.0, n), rng.uniform(0.5, 2.0, n)


@pytest.mark.parametrize("n", [1, 7, 250])
def test_weights_count_one_draw_per_query(n: int) -> None:
    weights = bootstrap_weights(n, 300, seed=1)
    assert weights.shape == (300, n)
    assert (weights.sum(axis=1) == n).all()
    assert (weights >= 0).all()
    assert (weights == weights.round()).all()


def test_weights_are_the_same_for_the_same_seed_and_uniform_over_queries() -> None:
    weights = bootstrap_weights(20, 4000, seed=3)
    assert (weights == bootstrap_weights(20, 4000, seed=3)).all()
    assert (weights != bootstrap_weights(20, 4000, seed=4)).any()
    assert np.abs(weights.mean(axis=0) - 1).max() < 5 * np.sqrt(0.95 / 4000)
    assert weights.var() == pytest.approx(0.95, rel=0.02)  # of a binomial count: 20 * 1/20 * 19/20


@pytest.mark.parametrize(("n", "resamples"), [(0, 10), (10, 0)])
def test_weights_need_queries_and_resamples(n: int, resamples: int) -> None:
    with pytest.raises(ValueError, match="expected at least one query and one resample"):
        bootstrap_weights(n, resamples)


def naive_draws(numerator: Array, denominator: Array, weights: Array) -> list[float]:
    """Each resample by hand: every query repeated as often as it was drawn."""
    found = []
    for row in weights.astype(int):
        chosen = [query for query, times in enumerate(row) for _ in range(times)]
        found.append(sum(numerator[q] for q in chosen) / sum(denominator[q] for q in chosen))
    return found


def widened(value: float, draws: list[float], n: int) -> list[float]:
    """Undo that resamples of n queries vary by only sqrt((n - 1) / n) of what they should."""
    return [value + (draw - value) * (n / (n - 1)) ** 0.5 for draw in draws]


def naive_quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_intervals_equal_resampling_by_hand(level: float) -> None:
    numerator, denominator = drawn(17)
    weights = bootstrap_weights(17, 200, seed=2)
    interval = ratio_interval(numerator, denominator, weights, level)
    value = sum(numerator) / sum(denominator)
    draws = widened(value, naive_draws(numerator, denominator, weights), 17)
    stretch = t.ppf((1 + level) / 2, 16) / norm.ppf((1 + level) / 2)
    assert interval.value == pytest.approx(value)
    assert interval.low == pytest.approx(value + stretch * (naive_quantile(draws, (1 - level) / 2) - value))
    assert interval.high == pytest.approx(value + stretch * (naive_quantile(draws, (1 + level) / 2) - value))
    assert interval.reason is None


def test_differences_equal_resampling_by_hand() -> None:
    one, two = drawn(15, seed=1), drawn(15, seed=2)
    weights = bootstrap_weights(15, 199, seed=2)
    plain = [a - b for a, b in zip(naive_draws(*one, weights), naive_draws(*two, weights), strict=True)]
    value = one[0].sum() / one[1].sum() - two[0].sum() / two[1].sum()
    draws = widened(value, plain, 15)
    found = paired_difference(one, two, weights)
    smaller = min(sum(d <= 0 for d in draws), sum(d >= 0 for d in draws))
    assert smaller > 0
    assert found.value == pytest.approx(value)
    assert found.p == pytest.approx(2 * t.cdf(norm.ppf((1 + smaller) / 200), 14))
    stretch = t.ppf(0.975, 14) / norm.ppf(0.975)
    assert found.low == pytest.approx(value + stretch * (naive_quantile(draws, 0.025) - value))
    assert found.high == pytest.approx(value + stretch * (naive_quantile(draws, 0.975) - value))


finite = st.floats(-10, 10, allow_nan=False, width=32)


@given(arrays(float, 12, elements=finite), arrays(float, 12, elements=finite), st.floats(-5, 5))
def test_differences_are_antisymmetric_and_ignore_what_both_share(one: Array, two: Array, common: float) -> None:
    weights, ones = bootstrap_weights(12, 99), np.ones(12)
    forth = paired_difference((one, ones), (two, ones), weights)
    back = paired_difference((two, ones), (one, ones), weights)
    assert (forth.value, forth.p) == (pytest.approx(-back.value, abs=1e-12), pytest.approx(back.p))
    assert forth.low == pytest.approx(-(back.high or 0), abs=1e-12)
    shifted = paired_difference((one + common, ones), (two + common, ones), weights)
    assert shifted.value == pytest.approx(forth.value, abs=1e-9)
    assert shifted.low == pytest.approx(forth.low, abs=1e-9)


def test_a_method_equals_itself_and_differs_clearly_from_a_better_one() -> None:
    numerator, denominator = drawn(30)
    weights = bootstrap_weights(30, 999)
    same = paired_difference((numerator, denominator), (numerator, denominator), weights)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    better = paired_difference((numerator + 0.1 * denominator, denominator), (numerator, denominator), weights)
    assert better.value == pytest.approx(0.1)
    assert better.p is not None
    assert better.p < 1e-9  # pairing removes all variance


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_a_difference_beyond_all_resamples_is_tested_by_its_standard_errors(n_seeds: int) -> None:
    """However large the difference, the share of resamples beyond 0 cannot fall below 1 in 1 + resamples."""
    rng = np.random.default_rng(3)
    weights, ones = bootstrap_weights(40, 999), np.ones((n_seeds, 40))
    noise = rng.normal(size=(n_seeds, 40)) + (0.3 * rng.normal(size=(n_seeds, 1)) if n_seeds > 1 else 0)
    ps, shifts = [], (0.3, 1.0, 3.0, 10.0, 30.0)
    for shift in shifts:
        found = resample(noise - noise.mean() + shift, ones, weights)
        assert found.draws is not None
        ps.append(found.p_value())
        if (found.draws > 0).all():
            errors = shift / found.draws.std()
            assert found.p_value() <= 2 * t.sf(errors, found.degrees_of_freedom) * (1 + 1e-9)
    assert all(b < a for a, b in pairwise(ps))
    assert ps[-1] < 1e-3 < ps[0]


@pytest.mark.parametrize("n", [3, 9])
def test_an_interval_over_few_tasks_covers_the_truth(n: int) -> None:
    rng, weights = np.random.default_rng(n), bootstrap_weights(n, 999)
    intervals = [resample(row, np.ones(n), weights, minimum=3).interval() for row in rng.normal(size=(400, n))]
    assert np.mean([(i.low or 0) <= 0 <= (i.high or 0) for i in intervals]) > 0.91


@pytest.mark.parametrize("n", [1, 9])
def test_too_few_queries_give_a_reason_instead_of_an_interval(n: int) -> None:
    numerator, denominator = drawn(n)
    weights = bootstrap_weights(n, 50)
    interval = ratio_interval(numerator, denominator, weights)
    assert interval.value == pytest.approx(numerator.sum() / denominator.sum())
    assert (interval.low, interval.high) == (None, None)
    expected = {1: "no interval: there is one value per task", 9: "an interval needs at least 10 queries, got 9"}
    assert interval.reason == expected[n]
    difference = paired_difference((numerator, denominator), (numerator, denominator), weights)
    assert (difference.p, difference.reason) == (None, interval.reason)


def test_a_zero_denominator_is_an_error_and_a_partly_zero_one_a_reason() -> None:
    denominator = np.zeros(12)
    with pytest.raises(ValueError, match="does not sum to zero"):
        ratio_interval(np.ones(12), denominator, bootstrap_weights(12, 50))
    denominator[0] = 1.0
    found = ratio_interval(np.ones(12), denominator, bootstrap_weights(12, 50))
    assert found.value == 12.0
    assert found.reason == "no interval: the denominator is zero in some resamples"


def test_different_queries_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="expected the same queries for both, got 12 and 11"):
        paired_difference(drawn(12), drawn(11), bootstrap_weights(12, 50))


def test_intervals_cover_and_tests_err_at_their_nominal_rates() -> None:
    rng = np.random.default_rng(5)
    weights, ones = bootstrap_weights(60, 500), np.ones(60)
    covered = rejected = 0
    for _ in range(400):
        difficulty = rng.normal(size=60)
        one, two = (0.4 + difficulty + 0.5 * rng.normal(size=60) for _ in range(2))
        interval = ratio_interval(one, ones, weights)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 0.4 <= interval.high
        p = paired_difference((one, ones), (two, ones), weights).p
        rejected += p is not None and p < 0.05
    assert 0.91 < covered / 400 < 0.98
    assert 0.02 < rejected / 400 < 0.09


def closed_testing(p: list[float]) -> list[float]:
    """Holm's procedure from its definition as a closed test: the worst Bonferroni p over all subsets that hold i."""
    everyone = range(len(p))
    subsets = [s for size in range(1, len(p) + 1) for s in combinations(everyone, size)]
    return [max(min(1.0, len(s) * min(p[j] for j in s)) for s in subsets if i in s) for i in everyone]


@given(p_values)
def test_holm_equals_closed_testing_with_bonferroni(p: list[float]) -> None:
    assert holm(p) == pytest.approx(closed_testing(p))


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == []


@given(st.data(), st.integers(1, 8))
def test_ranks_count_the_better_and_separated_methods(data: st.DataObject, n: int) -> None:
    goodness = data.draw(st.lists(st.integers(-3, 3).map(float), min_size=n, max_size=n))
    upper = data.draw(arrays(bool, (n, n)))
    separated = np.triu(upper, 1) | np.triu(upper, 1).T
    found, worst = ranks(goodness, separated), worst_ranks(goodness, separated)
    for i in range(n):
        beaten_by = [j for j in range(n) if separated[i, j] and goodness[j] > goodness[i]]
        assert found[i] == 1 + len(beaten_by)
        beats = [j for j in range(n) if separated[i, j] and goodness[j] < goodness[i]]
        assert worst[i] == n - len(beats)
        assert found[i] <= worst[i]
    assert 1 in found
    assert n in worst


def test_in_an_intransitive_tie_the_middle_ranks_with_the_best() -> None:
    separated = np.zeros((3, 3), dtype=bool)
    separated[0, 2] = separated[2, 0] = True
    assert ranks([0.3, 0.2, 0.1], separated) == [1, 1, 2]


def test_the_detectable_difference_is_detected_with_the_stated_power() -> None:
    error = 2.0 / np.sqrt(50)
    smallest = minimum_detectable_difference(error)
    assert smallest == pytest.approx((1.959964 + 0.841621) * error, rel=1e-5)
    means = np.random.default_rng(0).normal(smallest, 2.0, (20_000, 50)).mean(axis=1)
    assert np.mean(np.abs(means) > 1.959964 * error) == pytest.approx(0.8, abs=0.01)
    with pytest.raises(ValueError, match="expected a standard error >= 0"):
        minimum_detectable_difference(-1.0)


def seeds_of(n_seeds: int, n_queries: int, seed: int = 0) -> tuple[Array, Array]:
    """Ratios of several seeds over the same queries."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, 1, (n_seeds, 1))
    return rng.normal(0.3, 1.0, (n_seeds, n_queries)) + level, rng.uniform(0.5, 2.0, (n_seeds, n_queries))


def test_the_hierarchical_bootstrap_equals_resampling_by_hand() -> None:
    """Queries first, the same for all seeds; then seeds; deviations scaled up; stretched by Student's quantile."""
    numerator, denominator = seeds_of(3, 14)
    weights = bootstrap_weights(14, 250, seed=4)
    found = resample(numerator, denominator, weights, stream=7)
    by_seed = np.array([naive_draws(a, b, weights) for a, b in zip(numerator, denominator, strict=True)])
    picked = np.random.default_rng([SEED, 7]).integers(3, size=(3, 250))
    values = numerator.sum(1) / denominator.sum(1)
    assert found.value == pytest.approx(values.mean())
    queries, expected = widened(values.mean(), list(by_seed.mean(axis=0)), 14), []
    for column in range(250):
        mean = sum(by_seed[:, column]) / 3
        drawn_mean = sum(by_seed[picked[row, column], column] for row in range(3)) / 3
        expected.append(queries[column] + (drawn_mean - mean) * (3 / 2) ** 0.5)
    assert found.draws == pytest.approx(np.array(expected))
    [(variance, freedom)] = found.by_seed
    assert (variance, freedom) == (pytest.approx(values.var(ddof=1) / 3), 2)
    df = np.var(expected) ** 2 / (variance**2 / 2 + np.var(queries) ** 2 / 13)
    assert found.degrees_of_freedom == pytest.approx(df)
    stretch = t.ppf(0.975, df) / norm.ppf(0.975)
    interval = found.interval()
    assert interval.low == pytest.approx(found.value + stretch * (naive_quantile(expected, 0.025) - found.value))
    assert interval.high == pytest.approx(found.value + stretch * (naive_quantile(expected, 0.975) - found.value))


@pytest.mark.parametrize("n_seeds", [1, 2, 5])
def test_identical_seeds_reduce_to_the_bootstrap_over_queries(n_seeds: int) -> None:
    numerator, denominator = drawn(20)
    weights = bootstrap_weights(20, 300)
    repeated = np.tile(numerator, (n_seeds, 1)), np.tile(denominator, (n_seeds, 1))
    found, expected = resample(*repeated, weights, stream=3).interval(), ratio_interval(numerator, denominator, weights)
    assert asdict(found) == pytest.approx(asdict(expected))  # a mean of equal numbers may differ from them by rounding
    other = drawn(20, seed=1)
    differences = [paired_difference(one, other, weights) for one in (repeated, (numerator, denominator))]
    assert asdict(differences[0]) == pytest.approx(asdict(differences[1]))


def test_a_method_that_ties_with_all_others_is_in_the_middle() -> None:
    separated = np.zeros((3, 3), dtype=bool)
    separated[0, 1] = separated[1, 0] = True
    goodness = [0.3, 0.1, 0.2]  # the third is measured too imprecisely
    places = list(zip(ranks(goodness, separated), worst_ranks(goodness, separated), strict=True))
    assert places == [(1, 2), (2, 3), (1, 3)]
