"""One judging game behind a cache of ablations: effects, margins and nDCG by query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from coterie.tasks.collections.types import Candidate
from coterie.tasks.ndcg import NDCG
from coterie.tasks.planted.game import PlantedGame
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.task import Qrels

Group = tuple[int, ...]
View = Literal["score", "margin"]
_AT_ONCE = 256  # ablations between two reports of progress


class JudgedGame:
    """One judging game behind a cache keyed by the ablated set. Arrays are per query [.., Q], float64.

    ``one_by_one`` evaluates every set in a batch of its own, which changes nothing but rounding.
    """

    def __init__(
        self,
        game: RerankerGame | PlantedGame,
        progress: Callable[[int], None],
        qrels: Qrels | None = None,
        one_by_one: bool = False,
    ) -> None:
        self._game, self._progress, self._qrels = game, progress, qrels
        self._at_once = 1 if one_by_one else _AT_ONCE
        self._effects: dict[tuple[View, Group], np.ndarray] = {}
        self._drops: dict[Group, np.ndarray] = {}
        self._scores: dict[Group, np.ndarray] = {}
        self.n_queries = len(game.query_ids)
        self.evaluations = 0

    @cached_property
    def unablated(self) -> np.ndarray:
        """Scores [pairs] with nothing ablated."""
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
        """The query-document pairs. Raises ``TypeError`` for a planted game, which has none."""
        if isinstance(self._game, PlantedGame):
            raise TypeError(
                "expected a game of query-document pairs, got a planted one; fix: a metric that says what it needs"
            )
        return self._game.pairs

    @cached_property
    def unablated_ndcg(self) -> np.ndarray:
        """nDCG@10 by query [Q] with nothing ablated."""
        return self._ndcg.per_query(self.unablated)

    def effects(self, groups: Sequence[Group], view: View = "score") -> np.ndarray:
        """f(A) by query [m, Q], in standard deviations of the unablated scores s.

        ``score``: mean over the query's candidates x of s(x; {}) - s(x; A). ``margin``: the same of the mean over the
        ordered pairs (x, y) of the query, grade of x above that of y, of s(x) - s(y); 0 for a query whose candidates all
        have one grade, which :meth:`weight` leaves out.
        """
        self.prepare(groups)
        missing = [g for g in dict.fromkeys(groups) if (view, g) not in self._effects]
        if missing:
            drops = (self.unablated - np.stack([self._scores[g] for g in missing])) / self.scale
            rows = np.add.reduceat(drops * self._coefficients(view), self._starts, axis=1)
            self._effects.update({(view, group): row for group, row in zip(missing, rows, strict=True)})
        return np.stack([self._effects[view, g] for g in groups]) if groups else np.empty((0, self.n_queries))

    def weight(self, view: View) -> np.ndarray:
        """1 for every query [Q] that the view says something of, else 0."""
        return np.ones(self.n_queries) if view == "score" else (self._ordered_pairs > 0).astype(float)

    def total(self, rows: np.ndarray, view: View) -> np.ndarray:
        """Means [...] over the queries of rows [..., Q]."""
        weight = self.weight(view)
        mean: np.ndarray = rows @ weight / max(weight.sum(), 1.0)
        return mean

    def ndcg_drops(self, groups: Sequence[Group]) -> np.ndarray:
        """nDCG@10 lost by query [m, Q] when each group is ablated (positive = the group was needed)."""
        self.prepare(groups)
        missing = [g for g in dict.fromkeys(groups) if g not in self._drops]
        if missing:
            ablated = self._ndcg.per_query(np.stack([self._scores[g] for g in missing]))
            self._drops.update(zip(missing, self.unablated_ndcg - ablated, strict=True))
        return np.stack([self._drops[g] for g in groups]) if groups else np.empty((0, self.n_queries))

    def prepare(self, groups: Sequence[Group]) -> None:
        """Evaluate, in one batch, the groups that are not yet in the cache."""
        missing = [g for g in dict.fromkeys(groups) if g not in self._scores]
        for start in range(0, len(missing), self._at_once):
            chunk = missing[start : start + self._at_once]
            self._scores.update(zip(chunk, self._evaluate(chunk), strict=True))

    def by_query(self, values: np.ndarray) -> np.ndarray:
        """Means [Q] of values [pairs] over each query's candidates."""
        return self.sum_by_query(values) / self._candidates

    def sum_by_query(self, values: np.ndarray) -> np.ndarray:
        """Sums [Q] of values [pairs] over each query's candidates."""
        return np.bincount(self.query_of_pair, values, self.n_queries)

    def centred(self, values: np.ndarray) -> np.ndarray:
        """Values [pairs] or [pairs, K] minus their mean within the query."""
        columns = values.reshape(len(values), -1)
        means = np.stack([self.by_query(column) for column in columns.T], axis=1)
        centred: np.ndarray = columns - means[self.query_of_pair]
        return centred.reshape(values.shape)

    def macro_features(self, groups: Sequence[Group]) -> np.ndarray:
        """Mean activation of each group's members, averaged over a pair's tokens [pairs, groups]."""
        return np.stack([self._activations[:, list(g)].mean(1) for g in groups], axis=1)

    @cached_property
    def labels(self) -> np.ndarray:
        """The objective [pairs]: the relevance grade, or the scalar objective."""
        return np.array([p.objective for p in self.pairs])

    @property
    def query_of_pair(self) -> np.ndarray:
        """Index of each pair's query [pairs]; pairs come query by query."""
        return self._game.query_of_pair

    @cached_property
    def _candidates(self) -> np.ndarray:
        """Candidates of each query [Q]."""
        return np.bincount(self.query_of_pair, minlength=self.n_queries)

    @cached_property
    def _starts(self) -> np.ndarray:
        """Where each query's pairs begin [Q]."""
        starts: np.ndarray = np.searchsorted(self.query_of_pair, np.arange(self.n_queries))
        return starts

    def _coefficients(self, view: View) -> np.ndarray:
        """What a pair's drop counts for in its query's effect [pairs]."""
        if view == "score":
            return 1 / self._candidates[self.query_of_pair]
        balance, ordered = self._balance, self._ordered_pairs[self.query_of_pair]
        return np.divide(balance, ordered, out=np.zeros(len(balance)), where=ordered > 0)

    @cached_property
    def _balance(self) -> np.ndarray:
        """Candidates of the same query with a lower grade, minus those with a higher one [pairs]."""
        grades = np.array([p.grade for p in self.pairs])
        parts = [np.sign(own[:, None] - own[None, :]).sum(1) for own in np.split(grades, self._starts[1:])]
        return np.concatenate(parts).astype(float)

    @cached_property
    def _ordered_pairs(self) -> np.ndarray:
        """Pairs of candidates of different grades, by query [Q]."""
        grades = np.array([p.grade for p in self.pairs])
        counts = [(own[:, None] > own[None, :]).sum() for own in np.split(grades, self._starts[1:])]
        return np.array(counts, dtype=float)

    @cached_property
    def _activations(self) -> np.ndarray:
        return self._game.activations("mean").double().numpy()

    def _evaluate(self, groups: Sequence[Group]) -> np.ndarray:
        scores: np.ndarray = self._game.ablate(self._game.masks(list(groups))).double().numpy()
        self.evaluations += len(groups)
        self._progress(len(groups))
        return scores[:, self._same_input]

    @cached_property
    def _same_input(self) -> np.ndarray:
        """For each output [pairs] the first one with the same input, often itself.

        Documents that are alike up to where they are cut off have one true score. Computed twice it may differ in the last
        digit, by what shared a batch, and then rounding would rank them; as equals they are ranked by document id.
        """
        if isinstance(self._game, PlantedGame):
            return np.arange(self._game.n_outputs)
        first: dict[tuple[int, ...], int] = {}
        tokens = self._game.all_token_ids()
        return np.array([first.setdefault(tuple(ids), i) for i, ids in enumerate(tokens)])
