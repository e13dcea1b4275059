"""Random groups: the baseline that any method must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from coterie.methods.base import Method
from coterie.methods.coalitions import Coalitions

if TYPE_CHECKING:
    from coterie.tasks.game import Game


@dataclass(frozen=True)
class RandomGroups(Method):
    """Disjoint groups of random players, with sizes log-uniform from `min_size` to an eighth of the players.

    A size is the integer part of exp(U), with U uniform between log(`min_size`) and log(`max_size` + 1), so every
    doubling of the size is equally likely. One random order of the players fills the groups until the next group does
    not fit or `n_coalitions` is reached. With too few players for a single group, the answer is empty. The method uses no
    information about the game and costs no evaluation.

    Deviations from the paper: none; it is not from a paper.
    """

    name = "random"
    sees = frozenset()
    reference = "coterie: the null model that every method is compared with"

    min_size: Annotated[int, Field(ge=1, description="smallest size of a group")] = 2
    max_size: Annotated[
        int | None, Field(ge=1, description="largest size of a group; null: players / 8, at least min_size")
    ] = None
    n_coalitions: Annotated[int | None, Field(ge=1, description="maximum number of groups; null: as many as fit")] = (
        None
    )

    def contradiction(self) -> str | None:
        if self.max_size is None or self.max_size >= self.min_size:
            return None
        return f"expected max_size of at least min_size, {self.min_size}, got {self.max_size}; fix: max_size={self.min_size}"

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if `max_size` is below `min_size`."""
        self._check()
        n = game.n_players
        largest = max(self.min_size, n // 8) if self.max_size is None else self.max_size
        # At most n / min_size groups fit, so more sizes are never needed.
        sizes = np.exp(rng.uniform(np.log(self.min_size), np.log(largest + 1), n // self.min_size)).astype(int)
        ends = np.cumsum(np.clip(sizes, self.min_size, largest))
        ends = ends[ends <= n][: self.n_coalitions]
        groups = np.split(rng.permutation(n), ends)[:-1]  # the last part is the remainder
        return Coalitions.of(n, groups, size_law=f"log-uniform in {self.min_size}..{largest}")
