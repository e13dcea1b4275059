"""Changes between records: equal to differences by hand, antisymmetric, with reasons where records cannot be paired."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coterie.leaderboard.board.changes import COMPARE_COLUMNS, HISTORY_COLUMNS, compare_frame, history_frame
from coterie.leaderboard.display.history_plot import write_history_plot
from coterie.tracking.record import Record
from tests.records import METRICS, MadeUpMethod, make_measure, make_record

ONE = METRICS[:1]


def version(effect: float, code: str, day: int, n_seeds: int = 2, **more: Any) -> list[Record]:
    method = MadeUpMethod("m", effect=effect, code_hash=code * 64)
    date = f"2026-11-{day:02}T08:00:00+00:00"
    return [make_record(method, seed=seed, date=date, metrics=ONE, **more) for seed in range(n_seeds)]


def test_only_significant_changes_of_code_get_a_verdict() -> None:
    frame = history_frame([*version(0.2, "a", 1), *version(0.2, "b", 2), *version(1.5, "c", 3), *version(0.0, "d", 4)])
    assert tuple(frame.columns) == HISTORY_COLUMNS
    assert list(frame["code_hash"]) == [c * 12 for c in "abcd"]
    assert list(frame["changed"]) == ["", "code", "code", "code"]
    assert list(frame["verdict"].fillna("")) == ["", "no significant difference", "better", "worse"]
    assert frame["change"][2] == pytest.approx(frame["value"][2] - frame["value"][1])
    assert frame["change_low"][2] < frame["change"][2] < frame["change_high"][2]
    assert (frame["p_holm"][1:] >= frame["p"][1:]).all()


def test_verdicts_are_reversed_if_lower_is_better() -> None:
    def turned(records: list[Record]) -> list[Record]:
        return [
            r.model_copy(update={"scores": [m.model_copy(update={"higher_is_better": False}) for m in r.scores]})
            for r in records
        ]

    frame = history_frame(turned([*version(0.2, "a", 1), *version(1.5, "b", 2)]))
    assert list(frame["verdict"].fillna("")) == ["", "worse"]


def test_another_environment_is_another_version_and_is_named() -> None:
    old, new = version(0.2, "a", 1), version(0.2, "a", 2)
    place = new[0].environment.model_copy(update={"python": "3.13.0", "git_hash": "f" * 40})
    frame = history_frame([*old, *(r.model_copy(update={"environment": place}) for r in new)])
    assert list(frame["changed"]) == ["", "git, environment"]
    assert "Python 3.13.0" in frame["environment"][1]


def test_versions_on_different_texts_are_not_paired_and_say_why() -> None:
    frame = history_frame([*version(0.2, "a", 1), *version(0.9, "b", 2, dataset_revision="other")])
    assert frame["change"].isna().all()
    assert "not paired" in frame["note"][1]


def test_a_failed_version_has_a_reason_and_is_skipped_in_comparisons() -> None:
    failed = version(0.2, "b", 2, status="failed", reason="out of memory")
    frame = history_frame([*version(0.2, "a", 1), *failed, *version(1.5, "c", 3)], [ONE[0].name])
    assert "out of memory" in frame["note"][1]
    assert frame["verdict"][2] == "better"


def test_budgets_and_settings_are_different_series() -> None:
    other = make_record(MadeUpMethod("m", budget=5), metrics=ONE, date="2026-11-23T08:00:00+00:00")
    frame = history_frame([*version(0.2, "a", 1), other])
    assert list(frame["version"]) == [1, 1]
    assert frame["change"].isna().all()


def test_metrics_can_be_selected_with_or_without_domain() -> None:
    records = [make_record("m")]
    assert set(history_frame(records, ["ndcg-drop"])["metric"]) == {"ndcg-drop/heldout", "ndcg-drop/pandas"}
    assert set(history_frame(records, ["ndcg-drop/pandas"])["metric"]) == {"ndcg-drop/pandas"}
    assert history_frame(records, ["nothing"]).empty


def test_differences_are_between_means_over_seeds_and_queries() -> None:
    one, two = version(0.1, "a", 1, 3), version(0.8, "a", 1, 2)
    (row,) = compare_frame(one, two).to_dict("records")
    means = [np.mean([np.mean(r.scores[0].numerator) for r in side]) for side in (one, two)]
    assert row["a"] == pytest.approx(means[0])
    assert row["b"] == pytest.approx(means[1])
    assert row["difference"] == pytest.approx(means[1] - means[0])
    assert (row["seeds_a"], row["seeds_b"], row["verdict"]) == (3, 2, "better")


def test_comparisons_are_antisymmetric_and_equal_runs_do_not_differ() -> None:
    one, two = version(0.1, "a", 1, 5), version(1.5, "a", 1, 5)
    there, back = compare_frame(one, two), compare_frame(two, one)
    assert tuple(there.columns) == COMPARE_COLUMNS
    assert there["difference"][0] == pytest.approx(-back["difference"][0])
    assert there["low"][0] == pytest.approx(-back["high"][0])
    assert {there["verdict"][0], back["verdict"][0]} == {"better", "worse"}
    same = compare_frame(one, one)
    assert (same["difference"][0], same["p"][0]) == (0, 1)


def test_methods_of_one_side_only_are_named_and_single_methods_are_compared() -> None:
    random, kmeans = make_record("random", metrics=ONE), make_record("kmeans", metrics=ONE)
    frame = compare_frame([random, kmeans], [random])
    assert dict(zip(frame["method"], frame["note"], strict=True)) == {"kmeans": "not run on this side", "random": ""}
    (row,) = compare_frame([random], [kmeans]).to_dict("records")
    assert (row["method"], row["method_b"]) == ("random", "kmeans")
    assert row["difference"] == pytest.approx(kmeans.scores[0].value - random.scores[0].value)  # type: ignore[operator]


def test_budgets_are_compared_with_the_same_budget_in_any_order() -> None:
    def side(*budgets: int) -> list[Record]:
        """One record per budget, whose effect is the budget in thousands; the last one ended last."""
        return [
            make_record(
                MadeUpMethod("m", effect=budget / 1000, budget=budget), metrics=ONE, date=f"2026-11-22T08:00:0{i}+00:00"
            )
            for i, budget in enumerate(budgets)
        ]

    frame = compare_frame(side(100, 2000), side(2000, 100))
    assert list(frame["method"]) == ["m (budget 100)", "m (budget 2,000)"]
    assert list(frame["difference"]) == pytest.approx([0, 0])
    assert list(compare_frame(side(100), side(100))["method"]) == ["m"]


def test_a_measure_without_a_value_has_a_reason() -> None:
    missing = make_record("m", scores=[make_measure(ONE[0], 0, reason="no coalition of 2 to 44 players")])
    (row,) = compare_frame([make_record("m", metrics=ONE)], [missing]).to_dict("records")
    assert "no coalition of 2 to 44 players" in row["note"]
    assert np.isnan(row["difference"])


def test_the_history_plot_is_a_png_and_draws_hostile_names_as_text(tmp_path: Path) -> None:
    hostile = "$\\frac{1}{$ <b> \x1b[31m \n '\" 🦊 " + "x" * 10_000
    records = [
        r.model_copy(update={"method": r.method.model_copy(update={"selector": hostile})})
        for r in [*version(0.2, "a", 1), *version(1.5, "b", 2)]
    ]
    path = tmp_path / "plot.png"
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        assert write_history_plot(history_frame(records), path) == 2
    assert path.read_bytes().startswith(b"\x89PNG")
    assert write_history_plot(history_frame(version(0, "a", 1, status="failed", reason="x")), tmp_path / "no.png") == 0
    assert not (tmp_path / "no.png").exists()
