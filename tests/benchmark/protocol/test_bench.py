"""The bench: effects and drops against their definitions, the cache, eligible coalitions, shared controls."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from ir_measures import Qrel, ScoredDoc, nDCG

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.settings import Settings
from coterie.leaderboard.statistics.sizes import eligible_sizes
from coterie.methods.coalitions import Coalitions
from coterie.tasks.reranker_task import RerankerTask

GROUPS = [(0, 3, 5), (1, 2), (7,)]


def test_effects_are_score_drops_in_standard_deviations(bench: Bench, task: RerankerTask) -> None:
    game = task.heldout
    plain = game.ablate(game.masks([(), *GROUPS])).double().numpy()
    drop = (plain[0] - plain[1:]) / plain[0].std()
    expected = drop.reshape(len(GROUPS), 12, 4).mean(2)  # 12 queries of 4 candidates, query by query
    assert np.abs(expected).max() > 1e-4
    assert bench.heldout.effects(GROUPS) == pytest.approx(expected, abs=1e-5)


def test_ndcg_drops_equal_those_of_ir_measures(bench: Bench, task: RerankerTask) -> None:
    game = task.heldout
    qrels = [Qrel(p.query_id, p.document_id, p.grade) for p in game.pairs]

    def ndcg(scores: np.ndarray) -> dict[str, float]:
        run = [ScoredDoc(p.query_id, p.document_id, float(s)) for p, s in zip(game.pairs, scores, strict=True)]
        return {m.query_id: m.value for m in ir_measures.iter_calc([nDCG @ 10], qrels, run)}

    plain = game.ablate(game.masks([(), *GROUPS])).double().numpy()
    whole = ndcg(plain[0])
    expected = [[whole[q] - ndcg(row)[q] for q in game.query_ids] for row in plain[1:]]
    assert bench.heldout.ndcg_drops(GROUPS) == pytest.approx(np.array(expected), abs=1e-12)


def test_a_set_is_evaluated_only_once(bench: Bench) -> None:
    bench.heldout.effects(GROUPS)
    once = bench.heldout.evaluations
    bench.heldout.effects([*GROUPS, *GROUPS])
    bench.heldout.ndcg_drops(GROUPS)
    assert bench.heldout.evaluations == once == len(GROUPS) + 1


def test_equal_inputs_have_equal_scores(bench: Bench, task: RerankerTask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truncated documents may be equal; rounding must not rank them."""
    game = task.heldout
    ids = game.all_token_ids()
    monkeypatch.setattr(game, "all_token_ids", lambda: [*ids[:-1], ids[0]])
    plain = game.ablate(game.masks([()])).double().numpy()[0]
    scores = Bench(task, bench.settings).heldout.unablated
    assert scores[-1] == scores[0]
    assert scores[-1] != pytest.approx(plain[-1], abs=1e-6)
    assert scores[:-1] == pytest.approx(plain[:-1], abs=1e-6)


def test_the_first_coalitions_of_an_eligible_size_are_evaluated(bench: Bench) -> None:
    n = bench.n_players
    coalitions = Coalitions.of(n, [range(n), (0,), (1, 2), (3, 4, 5), (6, 7), (8, 9)])
    assert bench.eligible(coalitions) == [(1, 2), (3, 4, 5), (6, 7)]


def test_eligible_sizes_follow_the_settings() -> None:
    assert Settings().eligible_sizes(352) == eligible_sizes(352) == range(2, 45)
    assert Settings(smallest=3, largest_share=0.5).eligible_sizes(24) == range(3, 13)
    assert not Settings().eligible_sizes(8)


def test_controls_are_shared_nested_and_of_the_right_size(bench: Bench, task: RerankerTask) -> None:
    small, large = bench.controls(3), bench.controls(5)
    assert {len(c.members) for c in small} == {3}
    assert all(set(a.members) < set(b.members) for a, b in zip(small, large, strict=True))
    assert bench.controls(3) == Bench(task, bench.settings).controls(3)
    assert len({c.members for c in large}) > 10


def test_samples_of_a_set_are_pairs_and_leave_one_outs_of_its_members(bench: Bench) -> None:
    drawn = bench.draw((1, 4, 6, 9, 11), 0)
    assert len(drawn.pairs) == 3
    assert all(set(pair) < set(drawn.members) for pair in drawn.pairs)
    assert len(drawn.without_one) == 2
    assert all(len(rest) == 4 and set(rest) < set(drawn.members) for rest in drawn.without_one)
    assert drawn == bench.draw((1, 4, 6, 9, 11), 0)
