"""The store of evidence: every distinct coalition evaluated so far, with its vector of outputs.

v(S) is the outputs with every player outside S ablated, so v(N) is the intact network and v(empty) the network without any
player. All estimators of this package read from one store, which never evaluates a coalition twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, final

import numpy as np
import torch

from coterie.tasks.errors import BudgetExceededError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from numpy.typing import NDArray

    from coterie.tasks.game import Game

_AT_ONCE = 256  # coalitions per call of the game
_ENUMERABLE = 20  # players up to which evaluating all coalitions is acceptable without a budget
_DENSE = 256 * 2**20  # bytes of unpacked signs in memory at a time


@final
class Evidence:
    """Values of coalitions of one game: masks as bits, values as the game's own floats [evaluations, outputs].

    `budget` bounds the number of distinct evaluations; None leaves that to the game's meter. Each evaluation takes players /
    8 bytes and one number per output. The two ends, v(empty) and v(N), are evaluated first and have rows 0 and 1.
    """

    def __init__(self, game: Game, budget: int | None = None) -> None:
        self.game, self.budget = game, budget
        self.n_players, self.n_outputs = game.n_players, game.n_outputs
        self._row: dict[bytes, int] = {}
        self._bits: NDArray[np.uint8] = np.empty((0, -(-game.n_players // 8)), np.uint8)
        self._values: NDArray[np.float32 | np.float64] = np.empty((0, game.n_outputs), np.float32)
        ends = np.zeros((2, self.n_players), dtype=bool)
        ends[1] = True
        self.evaluate(ends)

    def __len__(self) -> int:
        return len(self._row)

    @property
    def left(self) -> int:
        """Number of evaluations that the budget and the game's meter still allow, at most that of missing coalitions.

        Raises `ValueError` if nothing bounds it, because an estimator that spends all of them would never end.
        """
        limits = self._limits()
        if not limits and self.n_players > _ENUMERABLE:
            raise ValueError(
                f"budget: expected a number of evaluations for {self.n_players} players, got none; fix: Evidence(game, 1000)"
            )
        return min([*limits, 2 ** min(self.n_players, 62) - len(self)])

    def affords(self, evaluations: int) -> bool:
        """Return whether the budget and the game's meter allow this many more evaluations."""
        return evaluations <= min(self._limits(), default=evaluations)

    def _limits(self) -> list[int]:
        """The evaluations that the budget and the game's meter still allow, each only if it has a limit."""
        meter = self.game.meter
        own = [] if self.budget is None else [self.budget - len(self)]
        return own if meter.limit is None else [*own, meter.limit - meter.total]

    @property
    def complete(self) -> bool:
        """Whether the store holds every coalition of the game."""
        return self.n_players < 62 and len(self) == 2**self.n_players

    @property
    def total(self) -> Float[np.ndarray, " outputs"]:
        """v(N) - v(empty), the sum of all modes."""
        return self.values([1])[0] - self.values([0])[0]

    def new(self, kept: Bool[np.ndarray, "m players"]) -> int:
        """Return how many evaluations `evaluate` would cost: distinct coalitions that are not in the store."""
        return len({key for key in _keys(np.packbits(kept, axis=1)) if key not in self._row})

    def holds(self, kept: Bool[np.ndarray, "m players"]) -> Bool[np.ndarray, " m"]:
        """Return which of these coalitions are in the store."""
        return np.array([key in self._row for key in _keys(np.packbits(kept, axis=1))], dtype=bool)

    def evaluate(self, kept: Bool[np.ndarray, "m players"]) -> Int[np.ndarray, " m"]:
        """Return the rows of these coalitions (True = kept), evaluating each missing one once, in this order.

        Raises `BudgetExceededError`, before any work, if they exceed the budget, and `ValueError` if an output of the game is
        not finite.
        """
        bits = np.packbits(kept, axis=1)
        keys = _keys(bits)
        first: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            if key not in self._row:
                first.setdefault(key, position)
        if not self.affords(len(first)):
            raise BudgetExceededError(
                f"budget: {min(self._limits())} evaluations left, {len(first)} more coalitions requested; "
                f"fix: a larger --budget (Shapley values need at least 2 evaluations)"
            )
        fresh = np.fromiter(first.values(), dtype=np.int64, count=len(first))
        for start in range(0, len(fresh), _AT_ONCE):
            self._append(kept[fresh[start : start + _AT_ONCE]], bits[fresh[start : start + _AT_ONCE]])
        return np.array([self._row[key] for key in keys], dtype=np.int64)

    def _append(self, kept: Bool[np.ndarray, "m players"], bits: NDArray[np.uint8]) -> None:
        values = self.game.ablate(torch.from_numpy(~kept)).numpy()
        if not np.isfinite(values).all():
            bad = values[~np.isfinite(values)][0]
            raise ValueError(
                f"outputs of the game: expected finite numbers, got {bad}; "
                f"fix: load the model in float32 and look for the first layer with such values"
            )
        start, end = len(self._row), len(self._row) + len(values)
        if end > len(self._values):  # doubles the room, so that appending stays cheap
            room = max(end, 2 * len(self._values))
            self._values = np.concatenate(
                [self._values[:start], np.empty((room - start, self.n_outputs), values.dtype)]
            )
            self._bits = np.concatenate([self._bits[:start], np.empty((room - start, bits.shape[1]), np.uint8)])
        self._values[start:end], self._bits[start:end] = values, bits
        self._row.update(zip(_keys(bits), range(start, end), strict=True))

    def values(self, rows: Int[np.ndarray, " m"] | list[int] | slice) -> Float[np.ndarray, "m outputs"]:
        """Return v(S) of these rows, in float64."""
        return self._values[: len(self)][rows].astype(np.float64)

    def kept(self, rows: Int[np.ndarray, " m"] | slice) -> Bool[np.ndarray, "m players"]:
        """Return the coalitions of these rows (True = kept)."""
        return np.unpackbits(self._bits[: len(self)][rows], axis=1, count=self.n_players).astype(bool)

    def split(self, game: Game, parent: Int[np.ndarray, " children"]) -> Evidence:
        """Return the same evidence for a game whose player i is part of player `parent[i]` of this one. Costs nothing."""
        child: Evidence = object.__new__(Evidence)
        child.game, child.budget, child.n_players, child.n_outputs = game, self.budget, len(parent), self.n_outputs
        child._bits = np.packbits(self.kept(slice(None))[:, parent], axis=1)
        child._values = self._values[: len(self)].copy()
        child._row = {key: row for row, key in enumerate(_keys(child._bits))}
        return child

    def pairs(self) -> Pairs:
        """Return all coalitions whose complement is in the store too, each pair once, without the pair of N and empty."""
        one, other = [], []
        for start in range(0, len(self), 4096):
            rows = np.arange(start, min(start + 4096, len(self)))
            for row, key in zip(rows.tolist(), _keys(np.packbits(~self.kept(rows), axis=1)), strict=True):
                match = self._row.get(key, -1)
                if match > row > 1:
                    one.append(row)
                    other.append(match)
        return Pairs(self, np.array(one, dtype=np.int64), np.array(other, dtype=np.int64))


@final
@dataclass(frozen=True)
class Pairs:
    """Coalitions with their complements."""

    evidence: Evidence
    """The store that holds them."""
    one: Int[np.ndarray, " pairs"]
    """Row of each pair's first coalition in the store."""
    other: Int[np.ndarray, " pairs"]
    """Row of its complement."""

    def __len__(self) -> int:
        return len(self.one)

    @property
    def odd(self) -> Float[np.ndarray, "pairs outputs"]:
        """v(S) - v(N minus S): all that Shapley and Banzhaf values depend on."""
        return self.evidence.values(self.one) - self.evidence.values(self.other)

    def sizes(self) -> Int[np.ndarray, " pairs"]:
        """Return |S| of each pair's first coalition."""
        return np.concatenate([np.zeros(0, np.int64), *((block > 0).sum(axis=1) for block in self.blocks())])

    def blocks(self) -> Iterator[Float[np.ndarray, "rows players"]]:
        """Yield rows of the design, +1 for players in S and -1 for the others, in blocks as large as memory allows."""
        rows = max(1, _DENSE // (8 * self.evidence.n_players))
        if 0 < len(self) <= rows:
            yield self._signs
            return
        for start in range(0, len(self), rows):
            yield _signs(self.evidence.kept(self.one[start : start + rows]))

    @cached_property
    def _signs(self) -> Float[np.ndarray, "pairs players"]:
        """All rows as one block, cached because iterative solvers need it repeatedly."""
        return _signs(self.evidence.kept(self.one))

    def some(self, chosen: Int[np.ndarray, " m"] | slice) -> Pairs:
        """Return a selection of these pairs."""
        return Pairs(self.evidence, self.one[chosen], self.other[chosen])


def _signs(kept: Bool[np.ndarray, "m players"]) -> Float[np.ndarray, "m players"]:
    signs: Float[np.ndarray, "m players"] = kept * 2.0 - 1.0
    return signs


def _keys(bits: NDArray[np.uint8]) -> list[bytes]:
    return np.ascontiguousarray(bits).view(f"V{bits.shape[1]}")[:, 0].tolist() if bits.size else [b""] * len(bits)
