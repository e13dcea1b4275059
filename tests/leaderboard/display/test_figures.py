import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.leaderboard import compile_board
from coterie.leaderboard.board.editions import label_records
from coterie.leaderboard.board.types import OverallRow
from coterie.leaderboard.display import figures
from tests.records import METRICS, MadeUpMethod, make_measure, make_record

PLACES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


@given(PLACES)
def test_nothing_on_the_pareto_front_is_beaten_by_another_place(places: list[tuple[int, int]]) -> None:
    front = figures.front_of(places)

    def beaten(place: tuple[int, int]) -> bool:
        cost, quality = place
        return any(c <= cost and q >= quality and (c, q) != place for c, q in places)

    assert {places[i] for i in front} == {place for place in places if not beaten(place)}
    assert len({places[i] for i in front}) == len(front)


INTERVALS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3), st.integers(0, 3)), max_size=8)


@given(INTERVALS)
def test_tie_groups_are_maximal_runs_of_overlapping_intervals(found: list[tuple[int, int, int]]) -> None:
    ordered = sorted(found)
    rows = [
        OverallRow(entry=f"{i}", mean_rank=m, low=m - a, high=m + b, ranks=[], cost=None, reason=None)
        for i, (m, a, b) in enumerate(ordered)
    ]

    def tied(i: int, j: int) -> bool:
        return ordered[i][0] - ordered[i][1] <= ordered[j][0] + ordered[j][2] and (
            ordered[j][0] - ordered[j][1] <= ordered[i][0] + ordered[i][2]
        )

    n = len(rows)
    runs = [set(range(i, j)) for i in range(n) for j in range(i + 1, n + 1)]
    runs = [run for run in runs if all(tied(a, b) for a in run for b in run)]
    expected = [run for run in runs if not any(run < other for other in runs)]
    assert [{int(e) for e in group} for group in figures.tie_groups(rows)] == expected


def test_the_ablation_curve_is_the_mean_over_seeds() -> None:
    records = []
    for seed in (0, 1):
        curve = [(0.0, 0.0, 0.0), (0.5, 0.2 + 0.2 * seed, 0.1)]
        measure = make_measure(METRICS[1], 0).model_copy(
            update={"metric": "ndcg_curve", "curve": curve, "primary": False}
        )
        records.append(make_record("louvain", seed=seed, scores=[make_measure(METRICS[0], 0), measure]))
    figure = figures.ablation(label_records(records).pairs)
    assert figure is not None
    method, control = figure["data"]
    assert (method["x"], method["y"]) == ([0.0, 0.5], pytest.approx([0.0, 0.3]))
    assert control["y"] == pytest.approx([0.0, 0.1])
    assert figures.ablation(label_records([make_record("random")]).pairs) is None


def test_size_plots_have_the_coalitions_sizes() -> None:
    record = make_record("random")  # sizes 3 and 2
    histogram = figures.size_histogram(record)
    assert histogram is not None
    assert (histogram["data"][0]["x"], histogram["data"][0]["y"]) == ([2, 3], [1, 1])
    boxes = figures.sizes([("random", record)])
    assert boxes is not None
    assert (boxes["data"][0]["lowerfence"], boxes["data"][0]["upperfence"]) == ((2,), (3,))
    assert boxes["data"][0]["median"] == (2,)


def test_plotly_accepts_every_figure_and_names_are_not_markup() -> None:
    from plotly.graph_objects import Figure

    records = []
    for task in ("a", "b", "c"):
        for method in (MadeUpMethod("x", 1.0), MadeUpMethod("y", budget=100), MadeUpMethod("y", 0.5, budget=1000)):
            record = make_record(method, task=task)
            info = record.method.model_copy(update={"selector": f"<a href='javascript:alert(1)'>{method.name}</a>"})
            records.append(record.model_copy(update={"method": info}))
    board, shown = compile_board(records), label_records(records).pairs
    drawn = [figures.ranks(board), figures.rank_pareto(board)]
    drawn += [figure for _, figure in figures.task_figures(board, board.tasks[0], shown)]
    assert len(drawn) == 2 + 2 * len(METRICS) + 1
    for figure in drawn:
        assert figure is not None
        Figure(figure)  # raises for an unknown field or a value that plotly does not take
        assert "<a" not in json.dumps(figure)
