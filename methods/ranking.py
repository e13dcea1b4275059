"""What the top-k baselines share: groups of consecutive players in the order of one number a player."""

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

    from coterie.tasks.game import Game


@dataclass(frozen=True)
class Ranking(Method):
    """The players in descending order of a score, cut into groups of ``size``: the first is the top k, and so on.

    Ties go by index. Players of score 0 are left out, and so is a rest of less than ``size``, unless there is no other
    group.
    """

    size: Annotated[int, Field(ge=1, description="players of a group")] = 11
    n_coalitions: Annotated[int | None, Field(ge=1, description="at most so many groups; null: as many as fit")] = None

    @abstractmethod
    def scores(self, game: Game) -> Float[np.ndarray, " players"]:
        """How much each player matters, not negative."""

    def discover(self, game: Game, budget: int, rng: np.random.Generator) -> Coalitions:
        """See the class. Raises ``ValueError`` where all scores are 0."""
        scores = self.scores(game)
        order = np.argsort(-scores, kind="stable")[: np.count_nonzero(scores)]
        if not len(order):
            raise ValueError(
                f"{self.name}: expected a player with a score other than 0, got none among {game.n_players}; "
                f"fix: another layer, or more pairs"
            )
        cut = min(self.size, len(order))
        groups = [order[start : start + cut] for start in range(0, len(order) - cut + 1, cut)][: self.n_coalitions]
        return Coalitions.of(game.n_players, groups, left_out=game.n_players - sum(map(len, groups)))
