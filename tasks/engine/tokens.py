"""Which tokens of right-padded pairs a replay computes: what pairs have in common is computed once, padding never.

Attention is causal and positions count from 0 in every pair, so a token's residual stream is a function of the tokens up
to it: the candidates of one query, which start alike, share those of the query.
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
    """The distinct tokens of some pairs, and where each pair finds its own among them.

    ``first`` [distinct] is where each stands among the pairs' tokens, flattened; ``place`` [pairs, tokens] which of the
    distinct ones a pair's token is (where padded: the first, which no real token looks at); ``last`` [pairs] which one is
    a pair's last.
    """

    first: Int[Tensor, " distinct"]
    place: Int[Tensor, "pairs tokens"]
    last: Int[Tensor, " pairs"]

    @classmethod
    def every(cls, last: Int[Tensor, " pairs"], width: int) -> Tokens:
        """Each of the ``width`` tokens of each pair on its own; ``last`` [pairs] is the index of the last real one."""
        places = torch.arange(len(last) * width, device=last.device)
        return cls(places, places.view(-1, width), places[::width] + last)

    def to(self, device: torch.device) -> Tokens:
        """The same there."""
        return Tokens(self.first.to(device), self.place.to(device), self.last.to(device))

    @property
    def position(self) -> Int[Tensor, " distinct"]:
        """Where a token stands in its pair."""
        return self.first % self.place.shape[1]

    def columns(self, start: int, width: int) -> Int[Tensor, " distinct"]:
        """Where each stands among all pairs of a batch padded to ``width``, if these pairs begin at ``start``."""
        return (start + self.first // self.place.shape[1]) * width + self.position

    def spread(self, x: Tensor) -> Tensor:
        """[m, distinct, ...] as each pair's own tokens, [m * pairs, tokens, ...]."""
        return x.index_select(1, self.place.flatten()).view(-1, self.place.shape[1], *x.shape[2:])

    def collected(self, x: Tensor) -> Tensor:
        """[m * pairs, tokens, ...] as the distinct ones, [m, distinct, ...]: undoes :meth:`spread`."""
        return x.reshape(-1, self.place.numel(), *x.shape[2:]).index_select(1, self.first)


def shared(rows: Sequence[list[Any]], most: int) -> Iterator[tuple[slice, Tokens]]:
    """Rows of tokens (ids, or ids with what else distinguishes them), cut into runs of at most ``most`` distinct tokens (or
    one row), and the tokens of each run.

    A prefix is found in the rows of one run: those that share one stand side by side.
    """
    start, run = 0, _Run()
    for i, row in enumerate(rows):
        if i > start and len(run.first) + run.new(row) > most:
            yield slice(start, i), run.tokens()
            start, run = i, _Run()
        run.add(row)
    yield slice(start, len(rows)), run.tokens()


class _Run:
    """A tree of prefixes: a node is a distinct token, known by the one before it and its id."""

    def __init__(self) -> None:
        self.first: list[tuple[int, int]] = []  # row and position of each node
        self._nodes: dict[tuple[int, Any], int] = {}
        self._places: list[list[int]] = []

    def new(self, row: list[Any]) -> int:
        """How many tokens of a row are not there yet."""
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
    """Pairs in batches of at most half ``tokens_at_once`` padded tokens (and at least one pair): of similar length, or
    those side by side that begin ``alike``.
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
