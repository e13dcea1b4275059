"""Each metric against its formula, computed with plain ablations."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.linear_model import Ridge

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.metrics import ablation, alignment, predictivity, ridge, sizes, stability, synergy
from coterie.benchmark.protocol.metrics.base import Answer, Contribution
from coterie.benchmark.protocol.metrics.registry import list_metrics
from coterie.benchmark.protocol.scoring import score
from coterie.benchmark.protocol.settings import Settings
from coterie.methods.coalitions import Coalitions
from coterie.methods.pac import SizeLaw
from coterie.tasks.collections.bm25 import terms
from coterie.tasks.ndcg import NDCG
from coterie.tasks.reranker_task import RerankerTask

MEMBERS = (2, 5, 11)


def effect(task: RerankerTask, group: tuple[int, ...]) -> float:
    """f(A) by its definition."""
    game = task.heldout
    plain = game.ablate(game.masks([(), group])).double().numpy()
    return float((plain[0] - plain[1]).mean() / plain[0].std())


def answered(bench: Bench, *groups: tuple[int, ...]) -> Answer:
    return Answer(Coalitions.of(bench.n_players, groups), [bench.draw(group, 0) for group in groups])


@pytest.fixture
def thorough(task: RerankerTask) -> Bench:
    """Every pair and every leave-one-out of a set of three."""
    return Bench(
        task, Settings(max_coalitions=3, largest_share=0.5, pairs=3, leave_one_outs=3, control_pairs=20, resamples=200)
    )


def test_pair_is_the_mean_synergy_of_pairs_above_that_of_random_pairs(thorough: Bench, task: RerankerTask) -> None:
    psi = [effect(task, (i, j)) - effect(task, (i,)) - effect(task, (j,)) for i, j in combinations(MEMBERS, 2)]
    [part] = synergy.Pair().measure(thorough, answered(thorough, MEMBERS))
    assert part.numerator.mean() == pytest.approx(1000 * np.mean(psi), abs=1e-2)
    by_chance = [effect(task, p) - effect(task, p[:1]) - effect(task, p[1:]) for p in thorough.control_pairs]
    assert part.control.mean() == pytest.approx(1000 * np.mean(by_chance), abs=1e-2)


def test_excess_is_the_effect_beyond_the_strongest_subset(thorough: Bench, task: RerankerTask) -> None:
    without = [effect(task, tuple(set(MEMBERS) - {k})) for k in MEMBERS]
    [part] = synergy.Excess().measure(thorough, answered(thorough, MEMBERS))
    assert part.numerator.mean() == pytest.approx(1000 * (effect(task, MEMBERS) - max(without)), abs=1e-2)


def test_joint_is_the_effect_beyond_the_sum_of_single_effects(thorough: Bench, task: RerankerTask) -> None:
    [part] = synergy.Joint().measure(thorough, answered(thorough, MEMBERS))
    expected = effect(task, MEMBERS) - sum(effect(task, (i,)) for i in MEMBERS)
    assert part.numerator.mean() == pytest.approx(1000 * expected, abs=1e-2)
    controls = [
        effect(task, c.members) - sum(effect(task, (i,)) for i in c.members) for c in thorough.controls(len(MEMBERS))
    ]
    assert part.control.mean() == pytest.approx(1000 * np.mean(controls), abs=1e-2)


def test_ablation_covers_every_domain_and_pools_transfer(thorough: Bench, task: RerankerTask) -> None:
    parts = {p.domain: p for p in ablation.AblationNDCG().measure(thorough, answered(thorough, MEMBERS))}
    assert list(parts) == ["heldout", "pandas", "mlflow", "transfer"]
    for name in ("heldout", "pandas", "mlflow"):
        assert parts[name].numerator == pytest.approx(thorough.domains[name].ndcg_drops([MEMBERS])[0])
    assert len(parts["transfer"].numerator) == 20
    game = task.discovery
    plain, ablated = game.ablate(game.masks([(), MEMBERS])).double().numpy()
    ndcg = NDCG(game.pairs, None)
    assert parts["heldout"].discovery == pytest.approx(
        (ndcg.per_query(plain) - ndcg.per_query(ablated)).mean(), abs=1e-6
    )


def test_ridge_finds_a_linear_target_and_shrinks_noise() -> None:
    generator = np.random.default_rng(0)
    features, groups = generator.normal(size=(300, 4)), np.repeat(np.arange(30), 10)
    truth = np.array([1.0, -2.0, 0.0, 0.5])
    target, noise = features @ truth, generator.normal(size=300)
    both = ridge.fitted(features * [1, 10, 1, 1], np.stack([target, noise], axis=1), groups)
    assert both[:, 0] * [1, 10, 1, 1] == pytest.approx(truth, abs=1e-2)
    assert np.abs(both[:, 1]).max() < 0.15
    assert (ridge.fitted(np.zeros((300, 2)), target[:, None], groups) == 0).all()
    for train, test in ridge.folds(groups):
        assert not set(groups[train]) & set(groups[test])


@given(st.integers(0, 2**16), st.integers(2, 6), st.integers(1, 3), st.integers(2, 12))
@settings(max_examples=25, deadline=None)
def test_ridge_equals_scikit_learn_fold_by_fold(seed: int, k: int, n_targets: int, n_queries: int) -> None:
    rng = np.random.default_rng(seed)
    queries = np.repeat(np.arange(n_queries), 7)
    features = rng.normal(size=(len(queries), k)) * rng.uniform(0.1, 10, k)
    targets = features @ rng.normal(size=(k, n_targets)) + rng.normal(size=(len(queries), n_targets))
    scaled = features / features.std(0)
    for column, found in enumerate(ridge.fitted(features, targets, queries).T):
        errors = np.zeros(len(ridge.PENALTIES))
        for fold in range(min(5, n_queries)):
            test = queries % 5 == fold
            for i, penalty in enumerate(ridge.PENALTIES):
                model = Ridge(alpha=penalty, fit_intercept=False).fit(scaled[~test], targets[~test, column])
                errors[i] += ((targets[test, column] - model.predict(scaled[test])) ** 2).sum()
        model = Ridge(alpha=ridge.PENALTIES[errors.argmin()], fit_intercept=False).fit(scaled, targets[:, column])
        assert found == pytest.approx(model.coef_ / features.std(0), rel=1e-6, abs=1e-9)


def test_predictivity_is_one_minus_sse_over_sst(thorough: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features equal to the labels explain everything; constant features explain nothing."""
    for domain in thorough.domains.values():
        monkeypatch.setattr(domain, "macro_features", lambda groups, d=domain: np.tile(d.labels[:, None], len(groups)))
    parts = predictivity.Predictivity().measure(thorough, answered(thorough, MEMBERS))
    assert [p.domain for p in parts] == ["pandas", "mlflow", "transfer"]
    for part in parts:
        assert part.numerator.sum() / part.denominator.sum() == pytest.approx(1.0, abs=1e-3)
    for domain in thorough.domains.values():
        monkeypatch.setattr(domain, "macro_features", lambda groups, d=domain: np.ones((len(d.labels), len(groups))))
    for part in predictivity.Predictivity().measure(thorough, answered(thorough, MEMBERS)):
        assert part.numerator.sum() == pytest.approx(0.0)


def margin_effect(task: RerankerTask, group: tuple[int, ...]) -> float:
    """f(A) from the mean of s(x) - s(y) over pairs in which x has the higher grade, over the queries that have such pairs."""
    game = task.heldout
    plain, ablated = game.ablate(game.masks([(), group])).double().numpy()
    by_query = []
    for query in range(len(game.query_ids)):
        rows = np.flatnonzero(game.query_of_pair == query)
        ordered = [(x, y) for x in rows for y in rows if game.pairs[x].grade > game.pairs[y].grade]
        if ordered:
            margins = [np.mean([s[x] - s[y] for x, y in ordered]) for s in (plain, ablated)]
            by_query.append(margins[0] - margins[1])
    return float(np.mean(by_query) / plain.std())


def value(part: Contribution) -> float:
    return float(part.numerator.sum() / part.denominator.sum())


def test_margin_metrics_read_effects_from_ordered_pairs_of_candidates(thorough: Bench, task: RerankerTask) -> None:
    f = {group: margin_effect(task, group) for size in (1, 2, 3) for group in combinations(MEMBERS, size)}
    [part] = synergy.PairMargin().measure(thorough, answered(thorough, MEMBERS))
    psi = [f[pair] - f[pair[:1]] - f[pair[1:]] for pair in combinations(MEMBERS, 2)]
    assert value(part) == pytest.approx(1000 * np.mean(psi), abs=1e-2)
    [part] = synergy.ExcessMargin().measure(thorough, answered(thorough, MEMBERS))
    assert value(part) == pytest.approx(1000 * (f[MEMBERS] - max(f[p] for p in combinations(MEMBERS, 2))), abs=1e-2)
    [part] = synergy.JointMargin().measure(thorough, answered(thorough, MEMBERS))
    assert value(part) == pytest.approx(1000 * (f[MEMBERS] - sum(f[i,] for i in MEMBERS)), abs=1e-2)


def test_a_shift_of_all_scores_changes_effects_on_scores_but_not_on_margins(thorough: Bench) -> None:
    domain = thorough.heldout
    domain.prepare([(0,)])
    domain._scores[0,] = domain.unablated - 0.5 * domain.scale
    assert domain.effects([(0,)]) == pytest.approx(0.5)
    assert domain.effects([(0,)], "margin") == pytest.approx(0.0, abs=1e-12)


def test_ratio_is_pairwise_synergy_over_single_effects(thorough: Bench, task: RerankerTask) -> None:
    psi = sum(effect(task, pair) - sum(effect(task, (i,)) for i in pair) for pair in combinations(MEMBERS, 2))
    [part] = synergy.Ratio().measure(thorough, answered(thorough, MEMBERS))
    assert value(part) == pytest.approx(psi / sum(abs(effect(task, (i,))) for i in MEMBERS), rel=1e-2)
    by_chance = np.mean([effect(task, p) - effect(task, p[:1]) - effect(task, p[1:]) for p in thorough.control_pairs])
    alone = np.mean([sum(abs(effect(task, (i,))) for i in c.members) for c in thorough.controls(3)])
    assert part.control.sum() / part.denominator.sum() == pytest.approx(3 * by_chance / alone, rel=2e-2)


def test_discovery_synergy_is_measured_in_the_discovery_game(thorough: Bench, task: RerankerTask) -> None:
    game = task.discovery
    outputs = game.ablate(game.masks([(), MEMBERS, *((i,) for i in MEMBERS)])).double().numpy()
    effects = (outputs[0] - outputs[1:]).mean(1) / outputs[0].std()
    [part] = synergy.Joint().measure(thorough, answered(thorough, MEMBERS))
    assert part.discovery == pytest.approx(1000 * (effects[0] - effects[1:].sum()), abs=1e-2)


def test_the_noise_floor_is_rounding_error(thorough: Bench) -> None:
    [part] = synergy.Joint().measure(thorough, answered(thorough, MEMBERS))
    assert 0 <= part.noise_floor < 0.01  # thousandths of a standard deviation; float32 has 7 digits
    exact = thorough.noise_floor(lambda domain, c, view: np.ones(domain.n_queries), "score", lambda s, c: [])
    assert exact == 0


def test_the_curve_is_the_area_between_two_piecewise_linear_curves(thorough: Bench) -> None:
    groups = [(0, 1), (2, 5, 11), (1, 2), (7,)]  # the third adds no player
    answer = Answer(Coalitions.of(thorough.n_players, groups), [thorough.draw(g, 0) for g in groups[:3]])
    [part] = ablation.AblationCurve().measure(thorough, answer)
    unions = [(0, 1), (0, 1, 2, 5, 11)]
    assert [x for x, _, _ in part.curve] == pytest.approx([0, 2 / thorough.n_players, 5 / thorough.n_players])
    drops = thorough.heldout.ndcg_drops(unions)
    assert [y for _, y, _ in part.curve] == pytest.approx([0, *drops.mean(1)])
    # trapezoids: 0..2 at half the first drop, 2..5 at the mean of both, divided by 5
    area = (2 * drops[0] / 2 + 3 * (drops[0] + drops[1]) / 2) / 5
    assert part.numerator == pytest.approx(area)
    knots, random = ablation._random_curve(thorough)
    assert (knots[0], knots[-1]) == (0, thorough.n_players)
    fine = np.linspace(0, 5, 50_001)
    assert part.control.mean() == pytest.approx(
        np.trapezoid(np.interp(fine, knots, random.mean(1)), fine) / 5, abs=1e-6
    )
    whole = thorough.heldout.ndcg_drops([tuple(range(thorough.n_players))])[0]
    assert random[-1] == pytest.approx(whole)


def test_alignment_is_1_for_the_signals_themselves_and_not_positive_for_noise(
    thorough: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = np.stack([thorough.signals[name] for name in alignment.SIGNALS], axis=1)
    monkeypatch.setattr(thorough.heldout, "macro_features", lambda groups: signals)
    parts = {p.domain: p for p in alignment.Alignment().measure(thorough, answered(thorough, MEMBERS))}
    assert list(parts) == [*alignment.SIGNALS, "heldout"]
    assert value(parts["bm25"]) == pytest.approx(1.0, abs=1e-2)
    assert value(parts["heldout"]) == pytest.approx(np.mean([value(parts[n]) for n in alignment.SIGNALS]), abs=1e-6)
    noise = np.random.default_rng(0).normal(size=signals.shape)
    monkeypatch.setattr(thorough.heldout, "macro_features", lambda groups: noise)
    for part in alignment.Alignment().measure(thorough, answered(thorough, MEMBERS)):
        assert value(part) < 0.05


def test_signals_are_computed_from_query_and_document(thorough: Bench, task: RerankerTask) -> None:
    pairs = task.heldout.pairs
    expected = [
        len(set(terms([p.query])[0]) & set(terms([p.document])[0])) / len(set(terms([p.query])[0])) for p in pairs
    ]
    assert thorough.signals["cqtr"] == pytest.approx(expected)


def prefers(phi: np.ndarray, player: int, new: tuple[int, ...], own: tuple[int, ...]) -> bool:
    """Whether the player strictly prefers `new` to `own`: by the k = 2 best friends with positive affinity, then by size."""

    def choice(group: tuple[int, ...]) -> list[float]:
        friends = sorted((float(phi[player, j]) for j in group if j != player and phi[player, j] > 0), reverse=True)
        return friends[:2]

    if sum(choice(new)) != sum(choice(own)):
        return sum(choice(new)) > sum(choice(own))
    return choice(new) == choice(own) and len(new) < len(own)


def test_blocking_draws_are_counted_by_their_definition(thorough: Bench) -> None:
    groups = [(0, 1, 2), (2, 3, 4), (9, 8, 7, 6)]
    phi, about = thorough.reference[0].affinity, thorough.reference[1]
    assert "pas-hessian on held-out queries" in about
    own = {i: (i,) for i in range(thorough.n_players)}
    for group in ((0, 1, 2), (3, 4), (6, 7, 8, 9)):  # player 2 belongs to the first
        own |= dict.fromkeys(group, group)
    draws, rng = thorough.settings.pac_draws, thorough.generator(1)
    blocking = 0
    for masks in SizeLaw(stability.SMALLEST, stability.LARGEST).draw(rng, thorough.n_players, draws):
        for mask in masks:
            drawn = tuple(np.flatnonzero(mask))
            blocking += all(prefers(phi, i, drawn, own[i]) for i in drawn)
    [figure] = stability.PacStability().measure(thorough, answered(thorough, *groups))
    assert figure.value == pytest.approx(blocking / draws)
    assert (figure.low, figure.high) == pytest.approx(stability.clopper_pearson(blocking, draws))


@pytest.mark.parametrize(("k", "n"), [(0, 100), (3, 100), (100, 100)])
def test_clopper_pearson_matches_its_definition(k: int, n: int) -> None:
    """At the lower end, k or more of n have probability 2.5%; at the upper end, k or fewer do."""
    low, high = stability.clopper_pearson(k, n)
    assert low == 0 if k == 0 else binom.sf(k - 1, n, low) == pytest.approx(0.025)
    assert high == 1 if k == n else binom.cdf(k, n, high) == pytest.approx(0.025)


def test_sizes_are_reported_without_an_eligible_coalition(thorough: Bench) -> None:
    n = thorough.n_players
    found = Coalitions.of(n, [range(n // 2), (n - 1,)])
    shares = {f.domain: f.value for f in sizes.SizeDistribution().measure(thorough, Answer(found, []))}
    expected = {"largest": (n // 2) / n, "singletons": 1 / n, "left-out": 1 - (n // 2 + 1) / n, "covered": 0.5}
    assert shares == pytest.approx(expected)


def test_score_returns_every_metric_with_an_interval(bench: Bench) -> None:
    measures = score(bench, Coalitions.of(bench.n_players, [(0, 1, 2), (3, 4)]), 0)
    applicable = {name for name, metric in list_metrics().items() if metric.needs <= bench.provides}
    assert {m.metric for m in measures} == applicable
    assert len(applicable) >= 5
    for measure in (m for m in measures if m.numerator):
        assert measure.value == pytest.approx(sum(measure.numerator) / sum(measure.denominator))
        assert measure.value == pytest.approx(measure.method_value - measure.control_value)
        assert (
            measure.low - 1e-12 <= measure.value <= measure.high + 1e-12
        )  # equal up to rounding if all queries are equal
    ranked = {m.key for m in measures if m.primary}
    assert "ndcg_drop/transfer" in ranked
    assert "ndcg_drop/pandas" not in ranked
    assert not {m.metric for m in measures if m.primary} & {m for m, kind in list_metrics().items() if not kind.primary}
    figures = {m.metric for m in measures if not m.numerator}
    assert figures == {"sizes", "pac_blocking"}


def test_without_an_eligible_coalition_the_reason_lists_the_sizes(bench: Bench) -> None:
    measures = score(bench, Coalitions.of(bench.n_players, [range(20), (3,)]), 0)
    any_size = {name for name, kind in list_metrics().items() if kind.any_size}
    assert {m.metric for m in measures if m.value is not None} == any_size
    assert all(
        m.metric in any_size or "no coalition of 2 to 12 players among 2 (sizes: 20, 1)" in str(m.reason)
        for m in measures
    )
