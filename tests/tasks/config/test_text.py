"""Suggestions for misspelled names, and selectors."""

from __future__ import annotations

import pytest

from coterie.tasks.config.text import MAX_LISTED, did_you_mean, nearest, split_selector


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("rnu", ["run"]),
        ("RANDOM", ["random"]),
        ("hedonic-oac", ["hedonic-oca"]),
        ("hedonic-pass", ["hedonic-pas"]),
        ("zzz", []),
    ],
)
def test_only_the_most_similar_names_are_suggested(typed: str, near: list[str]) -> None:
    assert nearest(typed, ["run", "runs", "train", "random", "hedonic-oca", "hedonic-pas"]) == near


def test_equally_similar_names_are_all_suggested() -> None:
    assert did_you_mean("pas", ["pas-lens", "pas-hess", "oca"]) == "; did you mean 'pas-lens' or 'pas-hess'?"


def test_without_a_similar_name_at_most_a_dozen_are_listed() -> None:
    names = [f"name-{i:02}" for i in range(MAX_LISTED + 1)]
    assert did_you_mean("zzz", names[:2]) == "; known: name-00, name-01"
    assert did_you_mean("zzz", names).endswith(f"name-11, ... ({MAX_LISTED + 1} in total)")
    assert did_you_mean("zzz", []) == "; known: none"


@pytest.mark.parametrize(
    ("selector", "parts"),
    [
        ("name", ("name", None)),
        ("name[a=1]", ("name", "a=1")),
        ("name[]", ("name", "")),
        (" name [a=[1]] ", ("name", "a=[1]")),
    ],
)
def test_selectors_are_split_at_the_first_bracket(selector: str, parts: tuple[str, str | None]) -> None:
    assert split_selector(selector) == parts


@pytest.mark.parametrize("selector", ["", "[a=1]", "name[a=1", "name[a=1]b"])
def test_incomplete_selectors_are_refused(selector: str) -> None:
    with pytest.raises(ValueError, match=r"expected name or name\[parameter=value"):
        split_selector(selector)
