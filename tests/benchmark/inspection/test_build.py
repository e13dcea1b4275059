"""Cards: firing and alignment against slow definitions, a planted reranker with known words, hostile texts, wrong records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.benchmark.errors import UsageError
from coterie.benchmark.inspection.alignment import alignments
from coterie.benchmark.inspection.build import inspect_record
from coterie.benchmark.inspection.firing import FEWEST_OCCURRENCES, firing_of
from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.settings import Settings
from coterie.leaderboard.display.card_page import render_page, shade
from coterie.leaderboard.reports.card import Card, Inspection
from coterie.tasks.planted.game import Layout, Planting
from coterie.tasks.planted.reranker import planted_reranker
from coterie.tasks.planted.task import PlantedPlan, PlantedSpec, PlantedTask
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.reranker_task import RerankerTask, RerankerTaskPlan
from coterie.tasks.signals import SIGNALS
from coterie.tracking.record import CoalitionSet, Record
from tests.records import make_record

PLANTING = Planting(sizes=(3, 4, 3), additive=3, dead=2)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"


def record_of(
    task: RerankerTask | PlantedTask,
    groups: list[list[int]],
    settings: Settings,
    n_players: int | None = None,
    **more: str,
) -> Record:
    """A record with these coalitions on this task."""
    record = make_record(
        task=more.get("name", task.name),
        fingerprint=more.get("fingerprint", task.plan.fingerprint),
        settings=settings.model_dump(),
    )
    found = CoalitionSet(n_players=n_players or task.heldout.n_players, groups=groups)
    return record.model_copy(update={"coalitions": found})


@pytest.fixture(scope="module")
def planted() -> PlantedTask:
    spec = PlantedSpec(name="planted/words", summary="", planting=PLANTING, inside="llama", queries=24, depth=5)
    return PlantedPlan(spec).load()


@pytest.fixture(scope="module")
def groups() -> list[list[int]]:
    return [list(group) for group in Layout.of(PLANTING).truth]


@pytest.fixture(scope="module")
def inspection(planted: PlantedTask, groups: list[list[int]]) -> Inspection:
    settings = Settings(largest_share=0.5, resamples=200)
    return inspect_record(record_of(planted, groups, settings), planted, settings, None)


def factors(planted: PlantedTask) -> np.ndarray:
    """What every token of the vocabulary adds to each group's factor, +1, -1 or 0, shape (vocabulary, groups)."""
    embedding = planted_reranker(PLANTING).model.get_input_embeddings().weight.detach().numpy()
    return embedding[:, 2 : 2 + len(PLANTING.sizes)]


def test_the_planted_reranker_fires_at_its_planted_words(planted: PlantedTask, inspection: Inspection) -> None:
    """A group's activation is the mean of its factor over the words so far, here computed only from the words."""
    game, signs = planted.heldout, factors(planted)
    assert isinstance(game, RerankerGame)
    names = {text: i for i, text in enumerate(game.token_strings(list(range(len(signs)))))}
    assert [card.number for card in inspection.cards] == [0, 1, 2]
    for number, card in enumerate(inspection.cards):
        so_far = [np.cumsum(signs[row, number]) / np.arange(1, len(row) + 1) for row in game.token_ids()]
        every = np.concatenate(so_far)
        by_pair = [(row - every.mean()).mean() / every.std() for row in so_far]
        place = {pair.document_id: i for i, pair in enumerate(game.pairs)}
        assert len({p.document_id for p in card.fires_most}) == 5
        own = [by_pair[place[p.document_id]] for p in card.fires_most]  # any of several equal pairs may be shown
        np.testing.assert_allclose(own, sorted(by_pair)[::-1][:5], atol=0.01)
        np.testing.assert_allclose([p.firing for p in card.fires_most], own, atol=0.01)
        shown = card.fires_least[0]
        assert by_pair[place[shown.document_id]] == pytest.approx(min(by_pair), abs=0.01)
        expected = (so_far[place[shown.document_id]] - every.mean()) / every.std()
        np.testing.assert_allclose([t.firing for t in shown.tokens], expected, atol=0.02)
        assert [t.text for t in shown.tokens][1:-1] == [
            *shown.query.split(),
            "<sep>",
            *text_of(game, shown.document_id),
        ]
        assert np.mean([signs[names[k.text], number] for k in card.tokens_high]) > 0.6
        assert np.mean([signs[names[k.text], number] for k in card.tokens_low]) < -0.6
        assert all(k.occurrences >= FEWEST_OCCURRENCES for k in card.tokens_high)


def text_of(game: RerankerGame, document_id: str) -> list[str]:
    return next(p.document for p in game.pairs if p.document_id == document_id).split()


def test_a_planted_group_stands_out_from_its_random_sets(inspection: Inspection) -> None:
    for card in inspection.cards:
        assert card.evaluated
        assert card.agreement is not None
        assert card.agreement.value > 0.99
        assert card.agreement.control < 0.5
        assert card.effect.value != card.effect.control
        assert card.ndcg_drop is None
        assert "nothing is relevant" in str(card.ndcg_reason)


def test_firing_equals_its_slow_definition(planted: PlantedTask, groups: list[list[int]]) -> None:
    game, dead = planted.heldout, Layout.of(PLANTING).dead
    assert isinstance(game, RerankerGame)
    sets = [tuple(groups[0]), (groups[0][0], groups[1][0], dead[0]), (dead[0], dead[1])]
    firing = firing_of(game, sets)
    rows = torch.cat([own for _, own in sorted(game.activations_by_pair(), key=lambda item: item[0])]).double().numpy()
    spread = rows.std(0)
    z = np.divide(rows - rows.mean(0), spread, out=np.zeros_like(rows), where=spread > 1e-9)
    expected = np.stack([z[:, list(group)].mean(1) for group in sets], axis=1)
    np.testing.assert_allclose(firing.tokens, expected, atol=1e-6)
    assert not firing.varies[list(dead)].any()
    ids = [i for row in game.token_ids() for i in row]
    assert firing.ids.tolist() == ids
    for position in (0, 7):
        np.testing.assert_allclose(firing.pairs[position], expected[firing.of_pair(position)].mean(0), atol=1e-6)
    agreement = firing.agreement(sets)
    correlations = np.corrcoef(rows[:, sets[0]].T)
    assert agreement[0] == pytest.approx(correlations[np.triu_indices(len(sets[0]), 1)].mean(), abs=1e-6)
    assert agreement[1] == pytest.approx(np.corrcoef(rows[:, sets[1][:2]].T)[0, 1], abs=1e-6)
    assert np.isnan(agreement[2])
    kinds = {k: expected[np.array(ids) == k, 1] for k in set(ids)}
    between = sum(len(v) * (v.mean() - expected[:, 1].mean()) ** 2 for v in kinds.values())
    assert firing.explained_by_token()[1] == pytest.approx(between / (expected[:, 1].var() * len(ids)), abs=1e-6)
    assert np.isnan(firing.explained_by_token()[2])
    order, means, counts = firing.kinds(1)
    assert list(means) == sorted(means, reverse=True)
    assert [counts[i] for i in range(3)] == [len(kinds[k]) for k in order[:3]]
    np.testing.assert_allclose(means[:3], [kinds[k].mean() for k in order[:3]], atol=1e-6)


def test_alignment_is_the_squared_correlation_within_queries(task: RerankerTask, bench: Bench) -> None:
    signals, query = bench.signals, task.heldout.query_of_pair
    bm25 = signals["bm25"]
    noise = np.random.default_rng(0).normal(size=len(bm25))
    firing = np.stack([-3 * bm25 + 100 * query, noise, np.zeros(len(bm25))], axis=1)
    found = alignments(firing, signals, query, resamples=200)
    assert [a.name for a in found] == list(SIGNALS)
    by_name = {a.name: a for a in found}
    own = by_name["bm25"]
    assert own.correlation is not None
    assert own.low is not None
    assert own.high is not None
    assert own.correlation[0] == pytest.approx(-1)
    assert own.low[0] == pytest.approx(1)
    centred = [np.concatenate([v[query == q] - v[query == q].mean() for q in set(query)]) for v in (bm25, noise)]
    assert own.correlation[1] == pytest.approx(np.corrcoef(centred)[0, 1])
    assert own.low[1] <= own.high[1]
    assert own.correlation[2] == 0
    assert "equal for all candidates" in str(by_name["query-length"].reason)
    few = query < 3
    short = alignments(firing[few], {name: values[few] for name, values in signals.items()}, query[few], 200)
    assert {a.reason for a in short if a.correlation is not None} == {"3 queries are too few for an interval"}


def test_drops_and_controls_equal_those_of_the_protocol(task: RerankerTask, settings: Settings) -> None:
    groups = [[0, 5, 9], [3], [1, 2]]
    found = inspect_record(record_of(task, groups, settings), task, settings, None)
    assert [card.number for card in found.cards] == [0, 2]
    bench = Bench(task, settings)
    drops = bench.heldout.ndcg_drops([(0, 5, 9), *(c.members for c in bench.controls(3))])
    card = found.cards[0]
    assert card.ndcg_drop is not None
    assert card.ndcg_drop.value == pytest.approx(drops[0].mean())
    assert card.ndcg_drop.control == pytest.approx(drops[1:].mean())
    above = drops[1:].mean(1) - drops[0].mean()  # a control equal up to rounding may count or not
    assert np.mean(above > 1e-9) - 1e-9 <= card.ndcg_drop.share_of_controls <= np.mean(above > -1e-9) + 1e-9
    assert all(a.ndcg_drop >= b.ndcg_drop > 0 for a, b in zip(card.loses_most, card.loses_most[1:], strict=False))
    assert all(q.ndcg_drop < 0 for q in card.gains_most)
    assert card.best_r2 is not None
    assert card.best_r2.value == max(s.r2.value for s in card.signals if s.r2)
    assert card.best_r2.control >= max(s.r2.control for s in card.signals if s.r2)
    alone = inspect_record(record_of(task, groups, settings), task, settings, 1).cards[0]
    assert (alone.members, alone.evaluated, alone.agreement) == ([3], False, None)


def hostile(card: Card) -> Card:
    pair, kind = card.fires_most[0], card.tokens_high[0]
    token = pair.tokens[0].model_copy(update={"text": HOSTILE})
    shown = pair.model_copy(update={"tokens": [token], "query": HOSTILE, "query_id": HOSTILE, "document_id": HOSTILE})
    return card.model_copy(
        update={
            "fires_most": [shown],
            "fires_least": [shown],
            "tokens_high": [kind.model_copy(update={"text": HOSTILE})],
            "ndcg_reason": HOSTILE,
        }
    )


def test_texts_cannot_inject_markup_into_the_page(inspection: Inspection) -> None:
    cards = [hostile(card) for card in inspection.cards]
    changes = {"cards": cards, "method": HOSTILE, "warnings": [HOSTILE], "task_name": HOSTILE, "players": HOSTILE}
    page = render_page(inspection.model_copy(update=changes))
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 10
    assert "{{ 7 * 7 }}" in page
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")


def test_shades_have_five_steps_and_saturate() -> None:
    assert [shade(v, 1.0) for v in (0.05, 0.2, -0.5, 0.9, 7.0, -7.0)] == ["", "up1", "down2", "up4", "up5", "down5"]
    assert shade(0.0, 0.0) == ""


def test_a_task_without_texts_is_refused(settings: Settings) -> None:
    spec = PlantedSpec(name="planted/game", summary="", planting=Planting(sizes=(3, 3)), queries=5)
    task = PlantedPlan(spec).load()
    with pytest.raises(UsageError, match="whose pairs have no words"):
        inspect_record(record_of(task, [[0, 1]], settings), task, settings, None)


@pytest.mark.parametrize(
    ("groups", "n_players", "number", "says"),
    [
        ([[0, 1]], 9999, None, "expected coalitions of the task's 24 players, got 9999 players"),
        ([[0, 24]], None, None, "expected player indices 0 to 23, got 24"),
        ([[0, 1]], None, 1, "--coalition: expected 0 to 0, got 1"),
        ([[0]], None, None, "none among 1 .*fix: --coalition N"),
    ],
)
def test_foreign_coalitions_are_refused(
    task: RerankerTask,
    settings: Settings,
    groups: list[list[int]],
    n_players: int | None,
    number: int | None,
    says: str,
) -> None:
    with pytest.raises(UsageError, match=says):
        inspect_record(record_of(task, groups, settings, n_players), task, settings, number)


def invoke(record: Record | str, tmp_path: Path, *more: str) -> tuple[int, str]:
    path = tmp_path / "record.json"
    path.write_text(record if isinstance(record, str) else record.to_json())
    result = CliRunner().invoke(app, ["inspect", str(path), "--output-folder", str(tmp_path / "out"), *more])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_writes_a_page_and_its_numbers(
    task: RerankerTask, task_file: Path, settings: Settings, tmp_path: Path
) -> None:
    code, output = invoke(record_of(task, [[0, 5, 9], [1, 2]], settings), tmp_path, "--task", str(task_file))
    assert code == 0, output
    assert "held-out pairs" in output
    (path,) = (tmp_path / "out").glob("inspect/*/inspect.json")
    found = Inspection.model_validate_json(path.read_bytes())
    assert [card.members for card in found.cards] == [[0, 5, 9], [1, 2]]
    assert found.tokens_are == "all tokens"
    assert path.with_name("inspect.html").read_text().count('<section id="coalition-') == 2


def test_a_record_of_another_task_is_refused_before_anything_is_loaded(
    task: RerankerTask, task_file: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RerankerTaskPlan, "load", lambda *_: pytest.fail("loaded"))
    record = record_of(task, [[0, 1]], settings, fingerprint="ab" * 32)
    code, output = invoke(record, tmp_path, "--task", str(task_file))
    assert code == 2
    text = " ".join(output.split())
    assert "expected the task of the record, with fingerprint abababababab" in text
    assert f"got {task.plan.fingerprint[:12]}" in text
    assert "fix:" in text


def test_unusable_records_are_reported_in_one_line(task: RerankerTask, settings: Settings, tmp_path: Path) -> None:
    good = record_of(task, [[0, 1]], settings)
    wrong_settings = make_record(task=task.name, fingerprint=task.plan.fingerprint)
    many = record_of(task, [[0, 1]], settings.model_copy(update={"controls": 10**9}))
    cases: list[tuple[Record | str, str]] = [
        (good, "expected a record of a registered task, got one of 'tiny/relevance'"),
        (
            record_of(task, [[0, 1]], settings, name="evil.yaml"),
            "expected a record of a registered task, got one of 'evil.yaml'",
        ),
        ("[]", "not a valid record"),
        (json.dumps({"schema_version": 1}), "not a valid record"),
        (make_record(status="failed", reason="out of memory"), "expected a finished cell, got status failed"),
        (make_record(protocol="coterie-0"), "expected a record of protocol"),
        (wrong_settings.model_copy(update={"identity": wrong_settings.identity}), "settings"),
        (many, "settings"),
    ]
    for record, says in cases:
        name = "pydoc-llama/relevance" if says in ("settings", "expected a record of protocol") else None
        code, output = invoke(record, tmp_path, *(["--task", name] if name else []))
        assert code == 2
        assert says in " ".join(output.split()), says
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "absent.json")])
    assert result.exit_code == 2
    assert "expected a record, got no such file" in result.stderr
