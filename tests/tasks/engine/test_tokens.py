"""Distinct tokens: one per prefix, and each pair finds its own."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from coterie.tasks.engine.tokens import Tokens, shared

ROWS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=9)


def prefixes(rows: list[list[int]]) -> set[tuple[int, ...]]:
    return {tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)}


@given(rows=ROWS, most=st.integers(1, 40))
def test_there_is_one_token_per_prefix(rows: list[list[int]], most: int) -> None:
    rows = sorted(rows)
    runs = list(shared(rows, most))
    assert [i for pairs, _ in runs for i in range(pairs.start, pairs.stop)] == list(range(len(rows)))
    for pairs, tokens in runs:
        own = rows[pairs]
        assert len(tokens.first) == len(prefixes(own))
        assert len(tokens.first) <= most or len(own) == 1
        places = tokens.place.tolist()
        named = {places[i][t]: tuple(row[: t + 1]) for i, row in enumerate(own) for t in range(len(row))}
        assert sorted(named.values()) == sorted(prefixes(own)), "one prefix per place"
        assert tokens.last.tolist() == [places[i][len(row) - 1] for i, row in enumerate(own)]
        assert tokens.position.tolist() == [len(named[i]) - 1 for i in range(len(named))]


@given(rows=ROWS, most=st.integers(1, 40), wider=st.integers(0, 3))
def test_collecting_undoes_spreading(rows: list[list[int]], most: int, wider: int) -> None:
    """`columns` picks a batch's tokens, `spread` hands them to the pairs, `collected` undoes that."""
    rows, width = sorted(rows), max(map(len, rows)) + wider
    batch = torch.full((len(rows), width), -1.0)
    for i, row in enumerate(rows):
        for t in range(len(row)):
            batch[i, t] = hash(tuple(row[: t + 1])) % 1_000_003  # a token's stream is a function of its prefix
    for pairs, tokens in shared(rows, most):
        distinct = batch.flatten()[tokens.columns(pairs.start, width)]
        stacked = torch.stack([distinct, -distinct])
        spread = tokens.spread(stacked).unflatten(0, (2, -1))
        for i, row in enumerate(rows[pairs]):
            assert torch.equal(spread[0, i, : len(row)], batch[pairs.start + i, : len(row)])
            assert torch.equal(spread[1, i, : len(row)], -batch[pairs.start + i, : len(row)])
        assert torch.equal(tokens.collected(tokens.spread(stacked)), stacked)


def test_every_pair_can_have_its_own_tokens() -> None:
    tokens = Tokens.every(torch.tensor([2, 0]), 3)
    assert tokens.first.tolist() == [0, 1, 2, 3, 4, 5]
    assert tokens.place.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tokens.last.tolist() == [2, 3]
    assert tokens.position.tolist() == [0, 1, 2, 0, 1, 2]
