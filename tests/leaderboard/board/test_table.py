import zlib
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, t

from coterie.leaderboard import Board, compile_board
from coterie.leaderboard.board.types import MetricBoard, OverallRow, Row
from coterie.leaderboard.statistics.bootstrap import (
    bootstrap_weights,
    holm,
    ratio_interval,
    resample,
)
from coterie.tracking.record import Measure, Record
from docs.tables.ranking_power import paired_difference
from tests.records import METRICS, MadeUpMethod, make_measure, make_record

DROP = METRICS[1]
WEAK, STRONG = MadeUpMethod("weak"), MadeUpMethod("strong", effect=1.5)


def only_metric(board: Board) -> MetricBoard:
    (task,) = board.tasks
    (metric,) = task.metrics
    return metric


def row_of(metric: MetricBoard, entry: str) -> Row:
    return next(row for row in metric.rows if row.entry == entry)


def overall_of(board: Board, entry: str) -> OverallRow:
    return next(row for row in board.overall.rows if row.entry == entry)


def with_arrays(record: Record, **changes: Any) -> Record:
    """The record with changes to its only measure."""
    (measure,) = record.scores
    return record.model_copy(update={"scores": [measure.model_copy(update=changes)]})


def test_queries_and_seeds_are_bootstrapped_together() -> None:
    records = [make_record(STRONG, seed=seed, metrics=[DROP]) for seed in range(3)]
    row = row_of(only_metric(compile_board(records)), "strong")
    per_query = np.array([record.scores[0].numerator for record in records])
    weights = bootstrap_weights(60)
    expected = resample(per_query, np.ones((3, 60)), weights, stream=zlib.crc32(b"strong")).interval()
    assert row.value == pytest.approx(per_query.mean())
    assert [row.low, row.high] == pytest.approx([expected.low, expected.high])
    over_queries = ratio_interval(per_query.mean(0), np.ones(60), weights)
    assert row.high - row.low > over_queries.high - over_queries.low
    assert row.method_value == pytest.approx(np.mean([r.scores[0].method_value for r in records]))
    assert row.control_value == pytest.approx(np.mean([r.scores[0].control_value for r in records]))
    assert row.n_seeds == 3


def test_ratios_keep_their_denominators() -> None:
    rng = np.random.default_rng(0)
    denominator = rng.uniform(0.1, 3, 60).tolist()
    record = make_record(STRONG, metrics=[DROP])
    changed = with_arrays(record, denominator=denominator)
    row = row_of(only_metric(compile_board([changed])), "strong")
    assert row.value == pytest.approx(sum(record.scores[0].numerator) / sum(denominator))


def test_comparisons_are_paired_over_queries_and_corrected_over_all_pairs() -> None:
    methods = [MadeUpMethod(f"m{i}", effect=0.12 * i) for i in range(4)]
    records = {m.name: make_record(m, metrics=[DROP]) for m in methods}
    metric = only_metric(compile_board(records.values()))
    assert [(c.first, c.second) for c in metric.comparisons] == [
        ("m0", "m1"), ("m0", "m2"), ("m0", "m3"), ("m1", "m2"), ("m1", "m3"), ("m2", "m3")
    ]  # fmt: skip
    arrays = {name: (np.array(r.scores[0].numerator), np.ones(60)) for name, r in records.items()}
    expected = [paired_difference(arrays[c.first], arrays[c.second], bootstrap_weights(60)) for c in metric.comparisons]
    assert [c.p for c in metric.comparisons] == pytest.approx([d.p for d in expected])
    assert [c.difference for c in metric.comparisons] == pytest.approx([d.value for d in expected])
    assert [c.p_holm for c in metric.comparisons] == pytest.approx(holm([c.p for c in metric.comparisons]))
    for row in metric.rows:
        beaten_by = {
            c.first if c.difference > 0 else c.second
            for c in metric.comparisons
            if c.p_holm < 0.05 and row.entry == (c.second if c.difference > 0 else c.first)
        }
        assert row.rank == 1 + len(beaten_by)
        separated = {
            c.second if c.first == row.entry else c.first
            for c in metric.comparisons
            if c.p_holm < 0.05 and row.entry in (c.first, c.second)
        }
        assert set(row.tied_with) == set(arrays) - separated - {row.entry}


def test_rows_are_best_first_in_either_direction() -> None:
    methods = [MadeUpMethod("low", effect=-2), MadeUpMethod("high", effect=2), MadeUpMethod("middle")]
    up = only_metric(compile_board([make_record(m, metrics=[DROP]) for m in methods]))
    assert [(row.entry, row.rank) for row in up.rows] == [("high", 1), ("middle", 2), ("low", 3)]
    down_metric = [type(DROP)(DROP.name, DROP.domain, DROP.unit, DROP.scale, higher_is_better=False)]
    down = only_metric(compile_board([make_record(m, metrics=down_metric) for m in methods]))
    assert [(row.entry, row.rank) for row in down.rows] == [("low", 1), ("middle", 2), ("high", 3)]


def test_equal_methods_share_the_first_rank() -> None:
    twins = [MadeUpMethod("a", effect=0.5), MadeUpMethod("b", effect=0.5)]
    metric = only_metric(compile_board([make_record(m, metrics=[DROP]) for m in twins]))
    assert [(row.rank, row.tied_with) for row in metric.rows] == [(1, ["b"]), (1, ["a"])]


def test_only_primary_measures_are_ranked() -> None:
    hidden = type(DROP)("extra", "heldout", "n", 1.0, primary=False)
    board = compile_board([make_record(WEAK, metrics=[DROP, hidden])])
    (task,) = board.tasks
    assert [metric.metric for metric in task.ranked] == [DROP.name]
    (shown,) = task.unranked
    assert (shown.metric, shown.rows[0].rank, shown.comparisons) == ("extra", None, [])
    assert shown.rows[0].low is not None
    assert [column.metric for column in board.overall.columns] == [DROP.name]


def test_the_detectable_difference_comes_from_the_paired_queries() -> None:
    metric = only_metric(compile_board([make_record(m, metrics=[DROP]) for m in (WEAK, STRONG)]))
    numerators = [make_record(m, metrics=[DROP]).scores[0].numerator for m in (WEAK, STRONG)]
    sd = np.std(np.subtract(numerators[0], numerators[1]))
    assert metric.detectable_difference == pytest.approx(2.8016 * sd / np.sqrt(60), rel=0.03)  # of 10,000 resamples
    alone = only_metric(compile_board([make_record(WEAK, metrics=[DROP])]))
    assert alone.detectable_difference is None


def test_nothing_is_ranked_on_too_few_queries_and_the_note_says_why() -> None:
    metric = only_metric(compile_board([make_record(m, metrics=[DROP], n_queries=9) for m in (WEAK, STRONG)]))
    assert [(row.entry, row.rank, row.low) for row in metric.rows] == [("strong", None, None), ("weak", None, None)]
    assert metric.note == "Nothing is ranked: an interval needs at least 10 queries, got 9."
    assert metric.comparisons == []


@pytest.mark.parametrize("status", ["failed", "skipped", "timeout"])
def test_an_unfinished_cell_is_listed_with_a_reason_and_no_rank(status: Any) -> None:
    records = [
        make_record(STRONG, metrics=[DROP]),
        make_record(WEAK, seed=0, metrics=[DROP]),
        make_record(WEAK, seed=1, status=status, reason="no gradients"),
    ]
    board = compile_board(records)
    row = only_metric(board).rows[-1]
    assert (row.entry, row.rank, row.value) == ("weak", None, None)
    assert row.reason == f"seed 1 {status}: no gradients"
    assert overall_of(board, "weak").mean_rank is None
    assert overall_of(board, "weak").reason == f"pydoc-llama/relevance: seed 1 {status}: no gradients"
    assert overall_of(board, "strong").mean_rank == 1


def test_an_entry_missing_from_a_task_is_listed_there_without_a_mean_rank() -> None:
    records = [make_record(m, task=t, metrics=[DROP]) for m in (WEAK, STRONG) for t in ("a", "b")][:-1]
    board = compile_board(records)
    assert row_of(board.tasks[1].metrics[0], "strong").reason == "not run on this task"
    assert overall_of(board, "strong").ranks == [1, None]
    assert [row.entry for row in board.overall.rows] == ["weak", "strong"]


def test_a_measure_without_a_value_has_a_reason() -> None:
    nothing = make_measure(DROP, 0, reason="no transfer domain")
    board = compile_board([make_record(STRONG, metrics=[DROP]), make_record(WEAK, scores=[nothing])])
    assert row_of(only_metric(board), "weak").reason == "seed 0: no transfer domain"
    missing = compile_board([make_record(STRONG, metrics=[DROP]), make_record(WEAK, scores=[])])
    assert row_of(only_metric(missing), "weak").reason == "seed 0: not measured"


def test_values_that_cannot_be_paired_are_shown_but_not_ranked() -> None:
    others = [make_record(MadeUpMethod(f"m{i}"), metrics=[DROP]) for i in range(2)]
    fewer = only_metric(compile_board([*others, make_record(STRONG, metrics=[DROP], n_queries=40)]))
    row = row_of(fewer, "strong")
    assert (row.rank, row.value is None) == (None, False)
    assert row.reason == "not comparable: measured on 40 queries, the others on 60"
    plain = with_arrays(make_record(STRONG, metrics=[DROP]), numerator=[], denominator=[])
    row = row_of(only_metric(compile_board([*others, plain])), "strong")
    assert (row.rank, row.reason) == (None, "not comparable: no values per query")
    assert row.value == pytest.approx(plain.scores[0].value)
    zero = with_arrays(make_record(STRONG, metrics=[DROP]), denominator=[0.0] * 60)
    assert row_of(only_metric(compile_board([*others, zero])), "strong").reason == "the denominator is zero"
    thin = with_arrays(make_record(STRONG, metrics=[DROP]), denominator=[1.0] + [0.0] * 59)
    metric = only_metric(compile_board([*others, thin]))
    row = row_of(metric, "strong")
    assert (row.rank, row.low) == (None, None)
    assert row.reason == "no interval: the denominator is zero in some resamples"
    assert [row_of(metric, f"m{i}").rank for i in range(2)] == [1, 1]
    uneven = [make_record(STRONG, seed=0, metrics=[DROP]), make_record(STRONG, seed=1, metrics=[DROP], n_queries=40)]
    row = row_of(only_metric(compile_board([*others, *uneven])), "strong")
    assert row.reason == "seeds were measured on different numbers of queries (40, 60)"


@pytest.mark.parametrize(
    ("older", "difference"),
    [
        ({"protocol": "coterie-0"}, "protocol coterie-0 instead of coterie-2"),
        ({"dataset_revision": "old"}, "data old instead of pydoc-2026.11"),
        ({"settings": {"k": 8}}, 'settings {"k": 8} instead of {"controls": 20, "k": 32}'),
        ({"fingerprint": "0" * 64}, "task fingerprint 000000000000 instead of"),
    ],
)
def test_notes_name_older_editions_that_are_left_out(older: dict[str, Any], difference: str) -> None:
    now = make_record(WEAK, metrics=[DROP], date="2026-11-22T00:00:00+00:00")
    before = [make_record(m, metrics=[DROP], date="2026-11-21T00:00:00+00:00", **older) for m in (WEAK, STRONG)]
    board = compile_board([now, *before])
    (task,) = board.tasks
    assert [row.entry for row in task.metrics[0].rows] == ["weak"]
    assert [entry.label for entry in board.entries] == ["weak"]
    assert len(task.notes) == 1
    assert task.notes[0].startswith(f"2 older records are left out: {difference}")
    assert board.n_records == task.n_records == 1


def test_the_newest_edition_is_found_across_time_zones() -> None:
    later = make_record(WEAK, metrics=[DROP], protocol="new", date="2026-11-22T01:00:00-03:00")
    earlier = make_record(WEAK, metrics=[DROP], protocol="old", date="2026-11-22T03:30:00+00:00")
    assert compile_board([later, earlier]).tasks[0].protocol == "new"


def test_of_two_records_of_a_cell_only_the_newest_counts() -> None:
    old = make_record(WEAK, status="failed", reason="crash", date="2026-11-21T00:00:00+00:00")
    new = make_record(WEAK, metrics=[DROP], date="2026-11-22T00:00:00+00:00")
    board = compile_board([new, old])
    assert board.n_records == 1
    assert row_of(only_metric(board), "weak").rank == 1


def test_labels_show_the_parameters_budgets_and_code_that_differ() -> None:
    methods = [
        MadeUpMethod("m"),
        MadeUpMethod("m", budget=5000),
        MadeUpMethod("n", code_hash="aaaaaaa1" * 8),
        MadeUpMethod("n", code_hash="aaaaaaa2" * 8),
        MadeUpMethod("p", parameters={"k": 1}),
        MadeUpMethod("p", parameters={"k": 2}),
    ]
    board = compile_board([make_record(m, metrics=[DROP]) for m in methods])
    assert [entry.label for entry in board.entries] == [
        "m (budget 1,000)",
        "m (budget 5,000)",
        "n (code aaaaaaa)",
        "n (code aaaaaaa) #2",
        "p[k=1]",
        "p[k=2]",
    ]
    assert board.entry("p[k=2]").parameters == {"k": 2}
    with pytest.raises(KeyError):
        board.entry("q")


def test_costs_are_means_over_seeds_then_tasks() -> None:
    records = [
        make_record(
            MadeUpMethod("m", evaluations={"ablations": 10 * (seed + 1)}, seconds=seed),
            task=task,
            seed=seed,
            metrics=[DROP],
        )
        for seed in range(2)
        for task in ("a", "b")
    ]
    board = compile_board(records)
    cost = board.tasks[0].metrics[0].rows[0].cost
    assert cost is not None
    assert (cost.evaluations, cost.evaluations_by_kind, cost.discovery_seconds) == (15, {"ablations": 15}, 0.5)
    assert overall_of(board, "m").cost == cost


@pytest.mark.parametrize("n_tasks", [1, 2, 3, 5])
def test_the_mean_rank_has_an_interval_with_three_or_more_tasks(n_tasks: int) -> None:
    tasks = [f"task{i}" for i in range(n_tasks)]
    records = [make_record(m, task=t, metrics=METRICS[:2]) for m in (WEAK, STRONG) for t in tasks]
    board = compile_board(records)
    assert len(board.overall.columns) == 2 * n_tasks
    best = board.overall.rows[0]
    assert (best.entry, best.mean_rank) == ("strong", 1)
    if n_tasks >= 3:
        assert (best.low, best.high, board.overall.note) == (1, 1, None)
    else:
        assert (best.low, best.high) == (None, None)
        assert board.overall.note == "No interval for the mean rank: it needs at least 3 tasks."


def test_the_interval_of_the_mean_rank_resamples_tasks_with_all_their_columns() -> None:
    from coterie.leaderboard.board.overall import _mean_rank

    ranks, names = [11, 12, 13, 13, 11], ["a", "a", "b", "b", "c"]
    value, low, high = _mean_rank(ranks, names, 20)
    weights = bootstrap_weights(3)
    draws = np.array([(row @ [23, 26, 11]) / (row @ [2, 2, 1]) for row in weights])
    stretch = (3 / 2) ** 0.5 * t.ppf(0.975, 2) / norm.ppf(0.975)  # three tasks are few
    assert value == 12
    assert low == pytest.approx(12 + stretch * (np.quantile(draws, 0.025) - 12))
    assert high == pytest.approx(12 + stretch * (np.quantile(draws, 0.975) - 12))
    assert _mean_rank(ranks, names, 13)[2] == 13, "there is no lower place than the last"
    assert _mean_rank([r - 10 for r in ranks], names, 20)[1] == 1


def test_the_layers_of_a_reranker_count_as_one_task() -> None:
    names = [f"tiny/{name}[layer={layer}]" for name in ("a", "b") for layer in (1, 2)]
    records = [
        make_record(m, seed=s, task=n, metrics=[DROP]) for m in (WEAK, "random") for s in range(2) for n in names
    ]
    assert "it needs at least 3 tasks" in (compile_board(records).overall.note or "")


def test_warnings_are_collected_once() -> None:
    records = [make_record(WEAK, seed=s, metrics=[DROP], warnings=["other corpus", f"seed {s}"]) for s in range(2)]
    assert compile_board(records).tasks[0].warnings == ["other corpus", "seed 0", "seed 1"]


def test_a_task_without_finished_cells_is_shown_with_the_reasons() -> None:
    board = compile_board([make_record(WEAK, status="skipped", reason="needs gradients")])
    (task,) = board.tasks
    assert task.metrics == []
    assert task.notes == ["weak: seed 0 skipped: needs gradients"]
    assert board.overall.note == "Nothing is ranked yet."
    assert board.overall.rows[0].mean_rank is None


def test_the_order_of_records_does_not_matter() -> None:
    records = [make_record(m, seed=s, task=t) for m in (WEAK, STRONG) for s in range(2) for t in ("a", "b")]
    assert compile_board(records) == compile_board(records[::-1])


def test_compiling_no_records_is_an_error_with_a_fix() -> None:
    with pytest.raises(ValueError, match=r"expected at least one record .* fix: run `coterie run`"):
        compile_board([])


def test_measures_with_the_same_name_but_different_units_are_not_mixed() -> None:
    other = type(DROP)(DROP.name, DROP.domain, "per cent", DROP.scale)
    board = compile_board([make_record(WEAK, metrics=[DROP]), make_record(STRONG, metrics=[other])])
    ranked = {metric.unit: [row.entry for row in metric.rows if row.rank] for metric in board.tasks[0].metrics}
    assert ranked == {"nDCG@10": ["weak"], "per cent": ["strong"]}


def test_a_measure_needs_a_value_or_a_reason() -> None:
    fields = make_measure(DROP, 0).model_dump()
    with pytest.raises(ValueError, match="either a value or a reason"):
        Measure.model_validate({**fields, "value": None})
