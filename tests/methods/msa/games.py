"""Small games given by tables of values, and the definition of Shapley modes."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from hypothesis import strategies as st

from coterie.methods.msa import Estimator, Evidence, evaluate_all
from coterie.tasks.game import Capability, Game, Meter

ESTIMATORS: list[Estimator] = ["kriging", "antithetic", "permutation", "regression", "msr"]
REGRESSIONS: list[Estimator] = ["kriging", "regression", "msr"]


class Table(Game):
    """A game given by its value of every coalition, in the order of binary numbers: [2^n, outputs]."""

    def __init__(self, values: np.ndarray) -> None:
        self.n_players, self.n_outputs = len(values).bit_length() - 1, values.shape[1]
        self.capabilities, self.meter = frozenset({Capability.ABLATIONS}), Meter()
        self.evaluated: list[int] = []
        self._table = torch.from_numpy(values)

    def _ablate(self, masks: torch.Tensor) -> torch.Tensor:
        codes = (~masks).long() @ (1 << torch.arange(self.n_players))
        self.evaluated += codes.tolist()
        return self._table[codes]


def random_table(n: int, outputs: int = 2, seed: int = 0) -> np.ndarray:
    """A table of independent values: the roughest of games."""
    return np.random.default_rng(seed).normal(size=(2**n, outputs))


def kept_in(n: int) -> np.ndarray:
    """All coalitions of n players in the order of binary numbers, as masks."""
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1 > 0


def full(game: Game) -> Evidence:
    """The evidence of all coalitions of a game."""
    evidence = Evidence(game)
    evaluate_all(evidence)
    return evidence


def by_orders(table: np.ndarray) -> np.ndarray:
    """The definition: the mean over all n! orders."""
    n = len(table).bit_length() - 1
    total, count = np.zeros((n, table.shape[1])), 0
    for order in permutations(range(n)):
        code = 0
        for i in order:
            total[i] += table[code | 1 << i] - table[code]
            code |= 1 << i
        count += 1
    return total / count


games = st.builds(random_table, st.integers(1, 6), st.integers(1, 3), st.integers(0, 10**6))
