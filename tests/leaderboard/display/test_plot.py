import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.leaderboard.board.types import Row
from coterie.leaderboard.display.plot import axis_for

numbers = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@given(st.lists(numbers, max_size=6), st.sampled_from([0.0, 1.0]))
def test_an_axis_spans_every_number_and_has_a_few_round_ticks(values: list[float], base: float) -> None:
    axis = axis_for([Row(entry="m", value=value) for value in values], base)
    for value in [*values, base]:
        assert 0 <= axis.position(value) <= 100
    assert axis.low <= base <= axis.high
    assert 2 <= len(axis.ticks) <= 8
    assert all(0 <= axis.position(tick) <= 100 for tick in axis.ticks)
    assert len({axis.label(tick) for tick in axis.ticks}) == len(axis.ticks)
    assert [float(axis.label(tick)) for tick in axis.ticks] == [round(tick, axis.places) for tick in axis.ticks]


def test_positions_are_linear_and_include_intervals() -> None:
    axis = axis_for([Row(entry="m", value=0.02, low=-0.01, high=0.05)])
    assert (axis.low, axis.high) == (-0.01, 0.05)
    assert [axis.position(value) for value in (-0.01, 0.02, 0.05)] == pytest.approx([4, 50, 96])
    assert [axis.label(tick) for tick in axis.ticks] == ["-0.01", "0", "0.01", "0.02", "0.03", "0.04", "0.05"]


def test_an_axis_needs_no_numbers() -> None:
    axis = axis_for([])
    assert axis.position(0) == 50
