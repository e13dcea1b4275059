"""A game whose outputs belong to queries: what the judge reads besides ablations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.tasks.collections.types import Candidate
from coterie.tasks.game import Game


class QueryGame(Game):
    """A game with one output per query-document pair; the pairs come query by query.

    A subclass without texts, such as a planted game, has outputs grouped by query all the same, and no `pairs`.
    """

    pairs: tuple[Candidate, ...] = ()
    """The query-document pair of each output; empty if the game has no texts."""
    query_ids: list[str]
    """The queries' ids in the order of their pairs."""
    query_of_pair: np.ndarray
    """For each output, the position of its query in `query_ids` [outputs]."""

    def first_with_same_input(self) -> np.ndarray:
        """For each output, the index of the first output with the same input, usually itself [outputs].

        Documents that are equal up to the point of truncation have the same true score. Computed twice, it may differ in
        the last digit, because the other pairs of the batch differ; the ranking would then depend on rounding.
        """
        first: dict[Sequence[int], int] = {}
        return np.array([first.setdefault(key, i) for i, key in enumerate(self._inputs())])

    def _inputs(self) -> Sequence[Sequence[int]]:
        """A key per output, equal for equal inputs."""
        return [(i,) for i in range(self.n_outputs)]
