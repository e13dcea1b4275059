"""Splits: how many queries each takes, and that they are stable."""

from __future__ import annotations

from typing import Any

import pytest

from coterie.tasks.collections.data_spec import DataSpec
from coterie.tasks.collections.splits import SPLITS, in_hash_order, split_of, split_queries
from coterie.tasks.errors import DataError

DOMAIN = {"collection": "pydoc", "domain": "pandas"}


def data(queries: dict[str, Any] | None = None, **more: Any) -> DataSpec:
    transfer = [{**DOMAIN, "name": name} for name in ("one", "two")]
    return DataSpec.model_validate({"source": DOMAIN, "transfer": transfer, "queries": queries or {}, **more})


@pytest.mark.parametrize(
    ("requested", "taken"),
    [
        (3, {"one": 3, "two": 3}),
        ("all", {"one": 7, "two": 7}),
        ("at most 5", {"one": 5, "two": 5}),
        ("at most 50", {"one": 7, "two": 7}),
        ({"one": 2, "two": "all"}, {"one": 2, "two": 7}),
    ],
)
def test_transfer_domain_takes_the_requested_queries(requested: Any, taken: dict[str, int]) -> None:
    spec = data({"transfer": requested})
    found = {name: split_queries(spec, name, [f"q{i}" for i in range(7)])[name] for name in ("one", "two")}
    assert {name: len(ids) for name, ids in found.items()} == taken
    assert all(ids == sorted(set(ids), key=ids.index) for ids in found.values())


@pytest.mark.parametrize("requested", [8, {"one": 8, "two": 2}])
def test_too_few_queries_are_refused_with_both_numbers(requested: Any) -> None:
    with pytest.raises(
        DataError, match=r"data.queries: one: expected at least 8 usable queries, got 7; fix: request fewer"
    ):
        split_queries(data({"transfer": requested}), "one", [f"q{i}" for i in range(7)])
    with pytest.raises(DataError, match="one: expected at least 2 usable queries, got 1; fix: use another collection"):
        split_queries(data({"transfer": "all"}), "one", ["q"])


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (1, "expected a whole number of at least 2, 'all' or 'at most N'"),
        (True, "expected a whole number of at least 2"),
        (3.0, "expected a whole number of at least 2"),
        ("43", "expected a whole number of at least 2"),
        ("at most 1", "expected a whole number of at least 2"),
        ({"one": 5, "two": False}, "two: expected a whole number"),
        ({"one": 5, "three": 5}, r"expected one count for each of \['one', 'two'\], got counts for \['one', 'three'\]"),
        ({"one": 5}, r"expected one count for each of \['one', 'two'\], got counts for \['one'\]"),
    ],
)
def test_invalid_count_is_refused(requested: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        data({"transfer": requested})


def test_most_pairs_adds_up_all_splits() -> None:
    queries = {"discovery": 3, "heldout": 4}
    assert data({**queries, "transfer": 5}, candidates=6).most_pairs() == 6 * (3 + 4 + 5 + 5)
    assert data({**queries, "transfer": {"one": 5, "two": 9}}, candidates=6).most_pairs() == 6 * (3 + 4 + 5 + 9)
    every = data({**queries, "transfer": {"one": 5, "two": "all"}}, candidates=6)
    assert every.most_queries() == {"discovery": 3, "heldout": 4, "one": 5, "two": None}
    assert every.most_pairs({"two": 40}) == 6 * (3 + 4 + 5 + 40)


def test_splits_are_stable_and_have_the_stated_shares() -> None:
    names = [f"package.module.name{i}" for i in range(4000)]
    shares = {split: sum(split_of(n) == split for n in names) / len(names) for split in SPLITS}
    assert shares == pytest.approx({"train": 0.8, "dev": 0.04, "discovery": 0.08, "heldout": 0.08}, abs=0.02)
    assert in_hash_order(names) == in_hash_order(names[::-1])
    assert split_of("torch.nn.Linear") == split_of("torch.nn.Linear")
