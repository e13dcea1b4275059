"""Each metric against its formula, written out with plain ablations."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from coterie.benchmark.bench import Bench
from coterie.benchmark.metrics import ablation, predictivity, synergy
from coterie.benchmark.metrics.registry import list_metrics
from coterie.benchmark.scoring import score
from coterie.benchmark.settings import Settings
from coterie.methods.coalitions import Coalitions
from coterie.tasks.task import Task

MEMBERS = (2, 5, 11)


def effect(task: Task, group: tuple[int, ...]) -> float:
    """f(A), by definition."""
    game = task.heldout
    plain = game.ablate(game.masks([(), group])).double().numpy()
    return float((plain[0] - plain[1]).mean() / plain[0].std())


@pytest.fixture
def thorough(task: Task) -> Bench:
    """Every pair and every leave-one-out of a set of three."""
    return Bench(
        task, Settings(max_coalitions=3, largest_share=0.5, pairs=3, leave_one_outs=3, control_pairs=20, resamples=200)
    )


def test_pair(thorough: Bench, task: Task) -> None:
    psi = [effect(task, (i, j)) - effect(task, (i,)) - effect(task, (j,)) for i, j in combinations(MEMBERS, 2)]
    [part] = synergy.Pair().measure(thorough, [thorough.draw(MEMBERS)])
    assert part.numerator.mean() == pytest.approx(1000 * np.mean(psi), abs=1e-2)
    by_chance = [effect(task, p) - effect(task, p[:1]) - effect(task, p[1:]) for p in thorough.control_pairs]
    assert part.control.mean() == pytest.approx(1000 * np.mean(by_chance), abs=1e-2)


def test_excess(thorough: Bench, task: Task) -> None:
    without = [effect(task, tuple(set(MEMBERS) - {k})) for k in MEMBERS]
    [part] = synergy.Excess().measure(thorough, [thorough.draw(MEMBERS)])
    assert part.numerator.mean() == pytest.approx(1000 * (effect(task, MEMBERS) - max(without)), abs=1e-2)


def test_joint(thorough: Bench, task: Task) -> None:
    [part] = synergy.Joint().measure(thorough, [thorough.draw(MEMBERS)])
    expected = effect(task, MEMBERS) - sum(effect(task, (i,)) for i in MEMBERS)
    assert part.numerator.mean() == pytest.approx(1000 * expected, abs=1e-2)
    controls = [
        effect(task, c.members) - sum(effect(task, (i,)) for i in c.members) for c in thorough.controls(len(MEMBERS))
    ]
    assert part.control.mean() == pytest.approx(1000 * np.mean(controls), abs=1e-2)


def test_ablation_covers_every_domain_and_pools_transfer(thorough: Bench) -> None:
    parts = {p.domain: p for p in ablation.AblationNDCG().measure(thorough, [thorough.draw(MEMBERS)])}
    assert list(parts) == ["heldout", "pandas", "mlflow", "transfer"]
    for name in ("heldout", "pandas", "mlflow"):
        assert parts[name].numerator == pytest.approx(thorough.domains[name].ndcg_drops([MEMBERS])[0])
    assert len(parts["transfer"].numerator) == 20


def test_ridge_finds_a_linear_target_and_shrinks_noise() -> None:
    generator = np.random.default_rng(0)
    features, groups = generator.normal(size=(300, 4)), np.repeat(np.arange(30), 10)
    truth = np.array([1.0, -2.0, 0.0, 0.5])
    assert predictivity._ridge(features, features @ truth, groups) == pytest.approx(truth, abs=1e-2)
    noise = predictivity._ridge(features, generator.normal(size=300), groups)
    assert np.abs(noise).max() < 0.15


def test_predictivity_is_one_minus_sse_over_sst(thorough: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With features that are the labels themselves everything is explained; with constants nothing is."""
    for domain in thorough.domains.values():
        monkeypatch.setattr(domain, "macro_features", lambda groups, d=domain: np.tile(d.labels[:, None], len(groups)))
    parts = predictivity.Predictivity().measure(thorough, [thorough.draw(MEMBERS)])
    assert [p.domain for p in parts] == ["pandas", "mlflow", "transfer"]
    for part in parts:
        assert part.numerator.sum() / part.denominator.sum() == pytest.approx(1.0, abs=1e-3)
    for domain in thorough.domains.values():
        monkeypatch.setattr(domain, "macro_features", lambda groups, d=domain: np.ones((len(d.labels), len(groups))))
    for part in predictivity.Predictivity().measure(thorough, [thorough.draw(MEMBERS)]):
        assert part.numerator.sum() == pytest.approx(0.0)


def test_score_gives_every_metric_with_interval(bench: Bench) -> None:
    measures = score(bench, Coalitions.of(bench.n_players, [(0, 1, 2), (3, 4)]))
    applicable = {name for name, metric in list_metrics().items() if metric.needs <= bench.gives}
    assert {m.metric for m in measures} == applicable
    assert len(applicable) >= 5
    for measure in measures:
        assert measure.value == pytest.approx(sum(measure.numerator) / sum(measure.denominator))
        assert measure.value == pytest.approx(measure.method_value - measure.control_value)
        assert measure.low <= measure.value <= measure.high
    ranked = {m.key for m in measures if m.primary}
    assert "ndcg_drop/transfer" in ranked
    assert "ndcg_drop/pandas" not in ranked


def test_no_eligible_coalition_is_said_with_the_sizes(bench: Bench) -> None:
    measures = score(bench, Coalitions.of(bench.n_players, [range(20), (3,)]))
    assert measures
    assert all(
        m.value is None and "no coalition of 2 to 12 players among 2 (sizes: 20, 1)" in str(m.reason) for m in measures
    )
