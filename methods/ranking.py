"""What rankings of players share: groups of consecutive players in descending order of a score."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from coterie.methods.base import Method
from coterie.methods.coalitions import Coalitions

if TYPE_CHECKING:
    from jaxtyping import Float

    from coterie.methods.clustering import Members
    from coterie.tasks.game import Game


GroupSize = Annotated[int, Field(ge=1, description="players per group")]
MostGroups = Annotated[int | None, Field(ge=1, description="maximum number of groups; null: as many as fit")]


def in_order(scores: Float[np.ndarray, " players"]) -> Members:
    """Players by descending score, ties by index, without those of score 0."""
    return np.argsort(-scores, kind="stable")[: np.count_nonzero(scores)]


def consecutive(order: Members, size: int, most: int | None) -> list[Members]:
    """Split players into the first `size`, the next `size`, and so on, at most `most` groups (None: as many as fit).

    A remainder smaller than `size` is left out unless it is the only group.
    """
    size = min(size, len(order))
    return [order[start : start + size] for start in range(0, len(order) - size + 1, size)][:most]


@dataclass(frozen=True)
class Ranking(Method):
    """The players in descending order of a score, in consecutive groups of `size`: the top players, the next, and so on.

    Ties are broken by index. Players of score 0 are left out, and so is a remainder smaller than `size` unless it is the
    only group.
    """

    size: GroupSize = 11
    n_coalitions: MostGroups = None

    @abstractmethod
    def scores(self, game: Game) -> Float[np.ndarray, " players"]:
        """Return how much each player matters; no score is negative."""

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises `ValueError` if all scores are 0."""
        order = in_order(self.scores(game))
        if not len(order):
            raise ValueError(
                f"{self.name}: expected a player with a score other than 0, got none among {game.n_players}; "
                f"fix: use another layer or more pairs"
            )
        groups = consecutive(order, self.size, self.n_coalitions)
        return Coalitions.of(game.n_players, groups, left_out=game.n_players - sum(map(len, groups)))
