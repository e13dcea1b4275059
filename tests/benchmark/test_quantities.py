"""Durations, sizes and budgets as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.benchmark.errors import UsageError
from coterie.benchmark.quantities import format_bytes, format_seconds, parse_budgets, parse_bytes, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1d", 86400), ("45", 45), ("0.5s", 0.5)],
)
def test_durations_are_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "30x", "-3m", "0s", "1h 30m", "30m!"])
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--timeout: expected"):
        parse_duration(text)


def test_sizes_are_parsed() -> None:
    assert [parse_bytes(t) for t in ("8GB", "500MB", "8GiB", "1000")] == [8 * 10**9, 500 * 10**6, 8 * 2**30, 1000]
    for text in ("", "eight", "-1GB", "0"):
        with pytest.raises(UsageError, match="--memory-limit: expected"):
            parse_bytes(text)


def test_budgets_are_parsed() -> None:
    assert parse_budgets("1e4,1e3,1000") == (1000, 10000)
    for text in ("", "1e3,", "0", "0.5", "many", "inf", "nan"):
        with pytest.raises(UsageError, match="--budgets: expected whole numbers"):
            parse_budgets(text)


@given(st.integers(1, 10**6))
def test_any_budget_is_read_back(budget: int) -> None:
    assert parse_budgets(str(budget)) == (budget,)


def test_durations_and_sizes_are_formatted_for_people() -> None:
    assert [format_seconds(s) for s in (0.44, 12, 200, 7200, 7500)] == ["0.4 s", "12 s", "3 min", "2 h", "2 h 5 min"]
    assert [format_bytes(b) for b in (5e7, 2.04e9)] == ["50.0 MB", "2.0 GB"]
