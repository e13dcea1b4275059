"""Which tokens of right-padded pairs a replay computes: common prefixes once, padding never.

Attention is causal and positions count from 0 in every pair, so a token's residual stream depends only on the tokens up to
it. The candidates of one query start alike and share the query's tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """The distinct tokens of some pairs, and each pair's tokens among them."""

    first: Int[Tensor, " distinct"]
    """Index of each distinct token's first occurrence among the pairs' tokens, flattened."""

    place: Int[Tensor, "pairs tokens"]
    """Index of each pair's tokens among the distinct ones; padding has 0, which no real token attends to."""

    last: Int[Tensor, " pairs"]
    """Index of each pair's last (or pooled) token among the distinct ones."""

    @classmethod
    def every(cls, last: Int[Tensor, " pairs"], width: int) -> Tokens:
        """All `width` tokens of every pair, sharing none; `last` is the index of the last real (or pooled) token."""
        places = torch.arange(len(last) * width, device=last.device)
        return cls(places, places.view(-1, width), places[::width] + last)

    def to(self, device: torch.device) -> Tokens:
        """The same tokens on a device."""
        return Tokens(self.first.to(device), self.place.to(device), self.last.to(device))

    @property
    def position(self) -> Int[Tensor, " distinct"]:
        """The position of each token in its pair."""
        return self.first % self.place.shape[1]

    def columns(self, start: int, width: int) -> Int[Tensor, " distinct"]:
        """The index of each token in a batch whose pairs are padded to `width`, if these pairs begin at `start`."""
        return (start + self.first // self.place.shape[1]) * width + self.position

    def spread(self, x: Tensor) -> Tensor:
        """From distinct tokens [m, distinct, ...] to each pair's own [m * pairs, tokens, ...]."""
        return x.index_select(1, self.place.flatten()).view(-1, self.place.shape[1], *x.shape[2:])

    def collected(self, x: Tensor) -> Tensor:
        """From each pair's tokens [m * pairs, tokens, ...] to the distinct ones [m, distinct, ...]: undoes `spread`."""
        return x.reshape(-1, self.place.numel(), *x.shape[2:]).index_select(1, self.first)


def shared(rows: Sequence[list[Any]], most: int) -> Iterator[tuple[slice, Tokens]]:
    """Split rows of tokens into runs of at most `most` distinct tokens (and at least one row).

    Yields the rows and the tokens of each run. A token is its id, with whatever else tells inputs apart. Prefixes are
    shared within a run only, so rows that share one should be neighbours.
    """
    start, run = 0, _Run()
    for i, row in enumerate(rows):
        if i > start and len(run.first) + run.new(row) > most:
            yield slice(start, i), run.tokens()
            start, run = i, _Run()
        run.add(row)
    yield slice(start, len(rows)), run.tokens()


class _Run:
    """A tree of prefixes. A node is a distinct token, identified by its predecessor and its id."""

    def __init__(self) -> None:
        self.first: list[tuple[int, int]] = []  # row and position of each node's first occurrence
        self._nodes: dict[tuple[int, Any], int] = {}
        self._places: list[list[int]] = []

    def new(self, row: list[Any]) -> int:
        """The number of tokens of a row that the tree does not have yet."""
        node = -1
        for position, token in enumerate(row):
            if (node := self._nodes.get((node, token), -2)) == -2:
                return len(row) - position
        return 0

    def add(self, row: list[Any]) -> None:
        places: list[int] = []
        for position, token in enumerate(row):
            key = (places[-1] if places else -1, token)
            if key not in self._nodes:
                self._nodes[key] = len(self.first)
                self.first.append((len(self._places), position))
            places.append(self._nodes[key])
        self._places.append(places)

    def tokens(self) -> Tokens:
        width = max(map(len, self._places))
        return Tokens(
            first=torch.tensor([row * width + position for row, position in self.first]),
            place=torch.tensor([places + [0] * (width - len(places)) for places in self._places]),
            last=torch.tensor([places[-1] for places in self._places]),
        )


def in_batches(encoded: list[list[Any]], tokens_at_once: int, alike: bool) -> list[list[tuple[int, list[Any]]]]:
    """Group pairs into batches of at most half `tokens_at_once` padded tokens (and at least one pair).

    Returns each pair with its row. Pairs are sorted by length, or by content if `alike`, so that pairs with a common prefix
    are neighbours.
    """
    batches: list[list[tuple[int, list[Any]]]] = []
    longest = 0
    for row, tokens in sorted(enumerate(encoded), key=lambda item: item[1] if alike else len(item[1])):
        longest = max(longest, len(tokens))
        if not batches or (len(batches[-1]) + 1) * longest > tokens_at_once // 2:
            batches.append([])
            longest = len(tokens)
        batches[-1].append((row, tokens))
    return batches
