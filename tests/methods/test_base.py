"""Parameters of methods: which values are accepted or refused, and how they survive JSON and selectors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from coterie.methods.base import Method, MethodError, parse_selector
from coterie.methods.coalitions import Coalitions
from coterie.methods.random_groups import RandomGroups
from coterie.methods.registry import get_method
from coterie.tasks.game import Capability, Game
from coterie.tasks.synthetic import SyntheticGame


@dataclass(frozen=True)
class Sample(Method):
    """A method with a parameter of every kind.

    More text.
    """

    name = "sample"
    sees = frozenset({Capability.ACTIVATIONS, Capability.WEIGHTS})
    reference = "nobody"

    count: Annotated[int, Field(ge=1, le=9, description="number of items")] = 4
    limit: int | None = None
    share: Annotated[float, Field(gt=0)] = 0.5
    text: str = "a"
    sizes: tuple[int, ...] = ()
    mode: Literal["tokens", "mean"] = "tokens"
    flag: bool = False

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        return Coalitions.of(game.n_players, [])


def build(selector: str) -> Sample:
    return Sample.build(parse_selector(selector)[1])


def test_strings_of_a_command_line_become_typed_values() -> None:
    method = build('sample[count=3, limit=7,share=1,text="a,b]",sizes=[1,2],mode=mean,flag=true]')
    assert method == Sample(3, 7, 1.0, "a,b]", (1, 2), "mean", True)
    assert build("sample[limit=null]") == build("sample[]") == build("sample") == Sample()


def test_selectors_are_canonical_and_show_only_what_differs_from_the_defaults() -> None:
    assert Sample().selector == "sample"
    assert Sample(count=2, share=0.25, text="a b").selector == 'sample[count=2,share=0.25,text="a b"]'
    assert build("sample[share=5e-1,count=04]").selector == "sample"


@given(
    st.builds(
        Sample,
        count=st.integers(1, 9),
        limit=st.none() | st.integers(),
        share=st.floats(1e-300, allow_infinity=False),
        text=st.text(),
        sizes=st.lists(st.integers()).map(tuple),
        mode=st.sampled_from(["tokens", "mean"]),
        flag=st.booleans(),
    )
)
def test_parameters_round_trip_through_json_and_selectors(method: Sample) -> None:
    assert Sample.build(json.loads(json.dumps(method.parameters))) == method
    assert build(method.selector) == method


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (
            "sample[count=0]",
            "sample[count]: expected greater than or equal to 1, got '0'; fix: sample[count=4] (default)",
        ),
        ("sample[count=two]", "sample[count]: expected a valid integer, got 'two'; fix: sample[count=4] (default)"),
        ("sample[limit=1.5]", "sample[limit]: expected a valid integer, got '1.5'; fix: sample[limit=null] (default)"),
        ("sample[share=nan]", "sample[share]: expected a finite number, got 'nan'; fix: sample[share=0.5] (default)"),
        (
            "sample[mode=meen]",
            "sample[mode]: expected 'tokens' or 'mean', got 'meen'; fix: sample[mode=tokens] (default)",
        ),
        ("sample[cuont=2]", "sample: unknown parameter 'cuont'; did you mean 'count'?"),
        ("sample[count=1,count=2]", "count: expected once, got twice; fix: leave one out"),
        ("sample[count]", "expected parameter=value, got 'count'"),
        ("sample[count=", "expected name or name[parameter=value,...]"),
        ("[count=1]", "expected name or name[parameter=value,...]"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(selector: str, message: str) -> None:
    with pytest.raises(MethodError) as caught:
        build(selector)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_method_constructed_with_bad_parameters_gets_no_name() -> None:
    with pytest.raises(MethodError, match=r"sample\[count\]: expected greater than or equal to 1, got 0"):
        _ = Sample(count=0).selector


def test_contradictory_parameters_are_refused_by_selectors_and_parameters() -> None:
    assert get_method("hedonic-pas[k=5,max_size=6]").parameters["max_size"] == 6
    for selector in (
        "random[min_size=9,max_size=3]",
        "hedonic-pas[k=5,max_size=5]",
        "hedonic-oca[min_size=7,max_size=6]",
    ):
        with pytest.raises(MethodError, match="expected max_size of at least"):
            get_method(selector)
    with pytest.raises(MethodError, match="random: expected max_size of at least min_size, 2, got 1; fix: max_size=2"):
        _ = RandomGroups(max_size=1).parameters


def test_skip_reason_names_what_is_missing() -> None:
    assert Sample().skip_reason(SyntheticGame()) is None
    blind = SyntheticGame(capabilities=frozenset({Capability.ABLATIONS}))
    assert Sample().skip_reason(blind) == "sample needs activations, weights; the game offers ablations"


def test_summary_and_schema_provide_help_texts() -> None:
    assert Sample.summary() == "A method with a parameter of every kind."
    schema = Sample.parameter_schema()["count"]
    assert (schema["default"], schema["minimum"], schema["description"]) == (4, 1, "number of items")
