"""What the metrics measure with: a task's judging games behind a cache of ablations, and the shared controls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np

from coterie.benchmark.settings import Settings
from coterie.methods.coalitions import Coalitions
from coterie.tasks.collections.types import Candidate
from coterie.tasks.ndcg import NDCG
from coterie.tasks.planted import PlantedGame
from coterie.tasks.planted_task import PlantedTask
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.task import Qrels, Task

Group = tuple[int, ...]
_AT_ONCE = 256  # ablations between two reports of progress

Need = Literal["judgements", "transfer", "truth"]


class Domain:
    """One judging game behind a cache keyed by the ablated set. Arrays are per query [.., Q], float64."""

    def __init__(
        self, game: RerankerGame | PlantedGame, progress: Callable[[int], None], qrels: Qrels | None = None
    ) -> None:
        self._game, self._progress, self._qrels = game, progress, qrels
        self._effects: dict[Group, np.ndarray] = {}
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
        return NDCG(self._pairs, self._qrels)

    @property
    def _pairs(self) -> tuple[Candidate, ...]:
        if isinstance(self._game, PlantedGame):
            raise TypeError(
                "expected a game of query-document pairs, got a planted one; fix: a metric that says what it needs"
            )
        return self._game.pairs

    @cached_property
    def _unablated_ndcg(self) -> np.ndarray:
        return self._ndcg.per_query(self.unablated)

    def effects(self, groups: Sequence[Group]) -> np.ndarray:
        """f(A) by query [m, Q]: mean over the query's candidates of s(x; {}) - s(x; A), in standard deviations."""
        self.prepare(groups)
        return np.stack([self._effects[g] for g in groups]) if groups else np.empty((0, self.n_queries))

    def ndcg_drops(self, groups: Sequence[Group]) -> np.ndarray:
        """nDCG@10 lost by query [m, Q] when each group is ablated (positive = the group was needed)."""
        self.prepare(groups)
        missing = [g for g in dict.fromkeys(groups) if g not in self._drops]
        if missing:
            ablated = self._ndcg.per_query(np.stack([self._scores[g] for g in missing]))
            self._drops.update(zip(missing, self._unablated_ndcg - ablated, strict=True))
        return np.stack([self._drops[g] for g in groups]) if groups else np.empty((0, self.n_queries))

    def prepare(self, groups: Sequence[Group]) -> None:
        """Evaluate, in one batch, the groups that are not yet in the cache."""
        missing = [g for g in dict.fromkeys(groups) if g not in self._scores]
        for start in range(0, len(missing), _AT_ONCE):
            chunk = missing[start : start + _AT_ONCE]
            scores = self._evaluate(chunk)
            difference = (self.unablated - scores) / self.scale
            for group, row, drop in zip(chunk, scores, difference, strict=True):
                self._scores[group] = row
                self._effects[group] = self.by_query(drop)

    def by_query(self, values: np.ndarray) -> np.ndarray:
        """Means [Q] of values [pairs] over each query's candidates."""
        query = self._game.query_of_pair
        return np.bincount(query, values, self.n_queries) / np.bincount(query, minlength=self.n_queries)

    def macro_features(self, groups: Sequence[Group]) -> np.ndarray:
        """Mean activation of each group's members, averaged over a pair's tokens [pairs, groups]."""
        return np.stack([self._activations[:, list(g)].mean(1) for g in groups], axis=1)

    @cached_property
    def labels(self) -> np.ndarray:
        """The objective [pairs]: the relevance grade, or the scalar objective."""
        return np.array([p.objective for p in self._pairs])

    @property
    def query_of_pair(self) -> np.ndarray:
        """Index of each pair's query [pairs]."""
        return self._game.query_of_pair

    @cached_property
    def _activations(self) -> np.ndarray:
        return self._game.activations("mean").double().numpy()

    def _evaluate(self, groups: Sequence[Group]) -> np.ndarray:
        scores: np.ndarray = self._game.ablate(self._game.masks(list(groups))).double().numpy()
        self.evaluations += len(groups)
        self._progress(len(groups))
        return scores


@dataclass(frozen=True)
class Evaluated:
    """One coalition as it is judged: with the pairs and leave-one-out sets that were drawn for it."""

    members: Group
    pairs: tuple[Group, ...]
    without_one: tuple[Group, ...]


class Bench:
    """A task's judging games, the settings and the size-matched controls that all methods share.

    Control r of size s is the first s players of the r-th random order of all players: drawn once, the same for every
    method, nested over sizes.
    """

    def __init__(
        self, task: Task | PlantedTask, settings: Settings, progress: Callable[[int], None] = lambda _n: None
    ) -> None:
        self.task, self.settings = task, settings
        self.n_players = task.heldout.n_players
        qrels = {} if isinstance(task, PlantedTask) else task.plan.qrels
        self.domains = {name: Domain(game, progress, qrels.get(name)) for name, game in task.domains.items()}
        generator = np.random.default_rng([settings.seed, self.n_players])
        self.orders = [generator.permutation(self.n_players) for _ in range(settings.controls)]
        draws = [generator.choice(self.n_players, 2, replace=False) for _ in range(settings.control_pairs)]
        self.control_pairs: list[Group] = [_group(draw) for draw in draws]
        self._controls: dict[int, list[Evaluated]] = {}

    @property
    def gives(self) -> frozenset[Need]:
        """What metrics may ask for beyond ablations of the held-out queries."""
        return frozenset({"truth"}) if isinstance(self.task, PlantedTask) else frozenset({"judgements", "transfer"})

    @property
    def truth(self) -> tuple[Group, ...]:
        """The planted groups; none where nothing was planted."""
        return self.task.truth if isinstance(self.task, PlantedTask) else ()

    @property
    def heldout(self) -> Domain:
        return self.domains["heldout"]

    @property
    def transfer(self) -> dict[str, Domain]:
        return {name: domain for name, domain in self.domains.items() if name != "heldout"}

    def eligible(self, coalitions: Coalitions) -> list[Evaluated]:
        """The first K coalitions of an eligible size, strongest first."""
        largest = int(self.n_players * self.settings.largest_share)
        chosen = [g for g in coalitions.groups if self.settings.smallest <= len(g) <= largest]
        return [self.draw(group) for group in chosen[: self.settings.max_coalitions]]

    def controls(self, size: int) -> list[Evaluated]:
        """The R random sets of this size."""
        if size not in self._controls:
            self._controls[size] = [self.draw(_group(order[:size])) for order in self.orders]
        return self._controls[size]

    def draw(self, members: Group) -> Evaluated:
        """Draw the pairs and leave-one-outs of a set; the same set always gets the same ones."""
        digest = hashlib.sha256(repr((self.settings.seed, members)).encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        pairs = list(combinations(members, 2))
        picked = generator.choice(len(pairs), min(len(pairs), self.settings.pairs), replace=False)
        left_out = generator.choice(len(members), min(len(members), self.settings.leave_one_outs), replace=False)
        return Evaluated(
            members,
            tuple(pairs[i] for i in sorted(picked)),
            tuple(members[:i] + members[i + 1 :] for i in sorted(left_out)),
        )


def _group(indices: np.ndarray) -> Group:
    return tuple(sorted(int(i) for i in indices))
