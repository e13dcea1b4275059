"""One judging game behind a cache of ablations: effects, margins and nDCG per query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from coterie.benchmark.protocol.per_query import centred_within_queries, sums_by_query
from coterie.tasks.collections.types import Candidate
from coterie.tasks.ndcg import NDCG
from coterie.tasks.query_game import QueryGame
from coterie.tasks.task import Qrels

Group = tuple[int, ...]
"""The players of a set, in ascending order."""
View = Literal["score", "margin"]
"""Whether effects are read from scores or from margins between candidates; see `JudgedGame.effects`."""

_BATCH = 256  # ablations between two reports of progress


def as_group(indices: np.ndarray) -> Group:
    """Player indices as a group."""
    return tuple(sorted(indices.tolist()))


class JudgedGame:
    """One judging game behind a cache keyed by the ablated set.

    Arrays have shape (..., queries) and are float64, unless stated otherwise. With `one_by_one`, every set is evaluated in
    its own batch, which changes nothing but rounding.
    """

    def __init__(
        self,
        game: QueryGame,
        progress: Callable[[int], None],
        qrels: Qrels | None = None,
        one_by_one: bool = False,
    ) -> None:
        self._game, self._progress, self._qrels = game, progress, qrels
        self._batch = 1 if one_by_one else _BATCH
        self._effects: dict[tuple[View, Group], np.ndarray] = {}
        self._drops: dict[Group, np.ndarray] = {}
        self._scores: dict[Group, np.ndarray] = {}
        self.n_queries = len(game.query_ids)
        self.evaluations = 0

    @cached_property
    def unablated(self) -> np.ndarray:
        """Scores with nothing ablated, shape (pairs,)."""
        return self._evaluate([()])[0]

    @cached_property
    def scale(self) -> float:
        """Standard deviation of the unablated scores over the pairs: the unit of every effect."""
        return float(self.unablated.std())

    @cached_property
    def _ndcg(self) -> NDCG:
        return NDCG(self.pairs, self._qrels)

    @property
    def pairs(self) -> tuple[Candidate, ...]:
        """The query-document pairs. Raises `TypeError` for a planted game, which has no texts."""
        if not self._game.pairs:
            raise TypeError(
                "expected a game of query-document pairs, got a planted one; fix: list judgements in the metric's needs"
            )
        return self._game.pairs

    @cached_property
    def unablated_ndcg(self) -> np.ndarray:
        """nDCG@10 with nothing ablated, shape (queries,)."""
        return self._ndcg.per_query(self.unablated)

    def effects(self, groups: Sequence[Group], view: View = "score") -> np.ndarray:
        """f(A) of each group A, shape (groups, queries), in standard deviations of the unablated scores.

        With s(x; A) the score of candidate x when A is ablated:

        - `score`: the mean over the query's candidates x of s(x; {}) - s(x; A).
        - `margin`: the same difference of the mean of s(x) - s(y) over the query's ordered pairs (x, y), in which x has the
          higher grade; 0 for a query whose candidates all have the same grade (`weight` leaves it out).
        """
        self.prepare(groups)
        missing = [g for g in dict.fromkeys(groups) if (view, g) not in self._effects]
        if missing:
            drops = (self.unablated - np.stack([self._scores[g] for g in missing])) / self.scale
            rows = np.add.reduceat(drops * self._coefficients(view), self._starts, axis=1)
            self._effects.update({(view, group): row for group, row in zip(missing, rows, strict=True)})
        return self._stacked([self._effects[view, g] for g in groups])

    def weight(self, view: View) -> np.ndarray:
        """Shape (queries,): 1 for a query on which the view is defined, else 0."""
        return np.ones(self.n_queries) if view == "score" else (self._ordered_pairs > 0).astype(float)

    def mean(self, rows: np.ndarray, view: View) -> np.ndarray:
        """Means over the queries on which the view is defined: (..., queries) to (...)."""
        weight = self.weight(view)
        mean: np.ndarray = rows @ weight / max(weight.sum(), 1.0)
        return mean

    def ndcg_drops(self, groups: Sequence[Group]) -> np.ndarray:
        """nDCG@10 lost when each group is ablated, shape (groups, queries); positive if the group was needed."""
        self.prepare(groups)
        missing = [g for g in dict.fromkeys(groups) if g not in self._drops]
        if missing:
            ablated = self._ndcg.per_query(np.stack([self._scores[g] for g in missing]))
            self._drops.update(zip(missing, self.unablated_ndcg - ablated, strict=True))
        return self._stacked([self._drops[g] for g in groups])

    def prepare(self, groups: Sequence[Group]) -> None:
        """Evaluate the groups that are not in the cache yet."""
        missing = [g for g in dict.fromkeys(groups) if g not in self._scores]
        for start in range(0, len(missing), self._batch):
            chunk = missing[start : start + self._batch]
            self._scores.update(zip(chunk, self._evaluate(chunk), strict=True))

    def sum_by_query(self, values: np.ndarray) -> np.ndarray:
        """Sums over each query's candidates: (pairs,) to (queries,), or (pairs, columns) to (queries, columns)."""
        return sums_by_query(values, self.query_of_pair, self.n_queries)

    def centred(self, values: np.ndarray) -> np.ndarray:
        """Values, shape (pairs,) or (pairs, columns), minus their mean within the query."""
        return centred_within_queries(values, self.query_of_pair, self.n_queries)

    def macro_features(self, groups: Sequence[Group]) -> np.ndarray:
        """Mean activation of each group's members over a pair's tokens, shape (pairs, groups)."""
        return np.stack([self._activations[:, list(g)].mean(1) for g in groups], axis=1)

    @cached_property
    def labels(self) -> np.ndarray:
        """The objective, a relevance grade or a scalar, shape (pairs,)."""
        return np.array([p.objective for p in self.pairs])

    @property
    def query_of_pair(self) -> np.ndarray:
        """Index of each pair's query, shape (pairs,); pairs are ordered by query."""
        return self._game.query_of_pair

    @cached_property
    def _candidates(self) -> np.ndarray:
        """Number of candidates per query, shape (queries,)."""
        return np.bincount(self.query_of_pair, minlength=self.n_queries)

    @cached_property
    def _starts(self) -> np.ndarray:
        """Index of each query's first pair, shape (queries,)."""
        starts: np.ndarray = np.searchsorted(self.query_of_pair, np.arange(self.n_queries))
        return starts

    def _coefficients(self, view: View) -> np.ndarray:
        """Weight of each pair's drop in its query's effect, shape (pairs,)."""
        if view == "score":
            return 1 / self._candidates[self.query_of_pair]
        balance, ordered = self._balance, self._ordered_pairs[self.query_of_pair]
        return np.divide(balance, ordered, out=np.zeros(len(balance)), where=ordered > 0)

    @cached_property
    def _balance(self) -> np.ndarray:
        """Candidates of the same query with a lower grade, minus those with a higher grade, shape (pairs,)."""
        parts = [np.sign(own[:, None] - own[None, :]).sum(1) for own in self._grades]
        return np.concatenate(parts).astype(float)

    @cached_property
    def _ordered_pairs(self) -> np.ndarray:
        """Number of candidate pairs with different grades, shape (queries,)."""
        counts = [(own[:, None] > own[None, :]).sum() for own in self._grades]
        return np.array(counts, dtype=float)

    @cached_property
    def _grades(self) -> list[np.ndarray]:
        """The grades of each query's candidates."""
        return np.split(np.array([p.grade for p in self.pairs]), self._starts[1:])

    @cached_property
    def _activations(self) -> np.ndarray:
        """Mean activations over each pair's tokens, shape (pairs, players)."""
        return self._game.activations("mean").double().numpy()

    def _evaluate(self, groups: Sequence[Group]) -> np.ndarray:
        """Scores with each group ablated, shape (groups, pairs)."""
        scores: np.ndarray = self._game.ablate(self._game.masks(list(groups))).double().numpy()
        self.evaluations += len(groups)
        self._progress(len(groups))
        return scores[:, self._same_input]

    @cached_property
    def _same_input(self) -> np.ndarray:
        """Index of the first pair with the same input, shape (pairs,): equal inputs tie, and ties are broken by document id."""
        return self._game.first_with_same_input()

    def _stacked(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(rows) if rows else np.empty((0, self.n_queries))
