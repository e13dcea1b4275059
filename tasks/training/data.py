"""What the reranker is trained on: queries set aside for training, with relevant, hard and random documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from coterie.tasks.collections.bm25 import BM25
from coterie.tasks.collections.candidates import candidates
from coterie.tasks.collections.splits import in_hash_order, split_of
from coterie.tasks.collections.types import Candidate, Domain
from coterie.tasks.errors import RecipeError
from coterie.tasks.objectives import Objective, objective_values, with_objective
from coterie.tasks.signals import CollectionStatistics, statistics_of
from coterie.tasks.training.spec import TrainingSpec

if TYPE_CHECKING:
    from coterie.tasks.collections.data_spec import DataSpec


@dataclass(frozen=True)
class TrainingData:
    """Texts and judgements for training, and candidates of other queries for early stopping."""

    domain: Domain
    """The source without the documents that are relevant to judged queries."""

    queries: Sequence[str]
    """Ids of the queries to train on."""

    negatives: Mapping[str, Sequence[str]]
    """Ids of each query's hard negatives, best first."""

    documents: Sequence[str]
    """Ids of the documents from which random negatives are drawn."""

    dev: Sequence[Candidate]
    """Graded candidates of the queries for early stopping."""

    objective: Objective
    """The objective to learn."""

    statistics: CollectionStatistics | None
    """Statistics for the objective; None for relevance."""

    notes: Sequence[str] = ()
    """Lines for the log: queries that are left out, and negatives that are drawn more than once."""

    def draw(self, recipe: TrainingSpec, draw: np.random.Generator) -> list[Candidate]:
        """The pairs of one step, query by query; a relevant document comes first for each query."""
        rows: list[Candidate] = []
        for i in draw.choice(len(self.queries), min(recipe.queries_a_step, len(self.queries)), replace=False):
            query, grades = self.queries[i], self.domain.qrels[self.queries[i]]
            relevant = [d for d, grade in grades.items() if grade > 0 and d in self.domain.documents]
            hard = self.negatives[query]
            chosen = [
                str(draw.choice(relevant)),
                *draw.choice(hard, recipe.hard_negatives, len(hard) < recipe.hard_negatives),
            ]
            chosen += [self.documents[j] for j in draw.integers(len(self.documents), size=recipe.random_negatives)]
            rows += [
                Candidate(query, d, self.domain.queries[query], self.domain.documents[d], grades.get(d, 0))
                for d in chosen
            ]
        return rows

    def values(self, rows: Sequence[Candidate]) -> np.ndarray:
        """The objective of each pair [pairs]."""
        if self.statistics is None:
            return np.array([p.grade for p in rows], dtype=np.float64)
        return objective_values(rows, self.objective, self.statistics)


def training_data(domain: Domain, data: DataSpec, objective: Objective, recipe: TrainingSpec) -> TrainingData:
    """The part of the source domain to train on, without any query or relevant document of discovery and held-out.

    Queries without negatives are left out and counted in `notes`. Raises `RecipeError` if the domain has too few queries or
    negatives for the recipe.
    """
    queries = {split: [q for q in domain.queries if split_of(q) == split] for split in ("train", "dev")}
    judged = {
        d for q, grades in domain.qrels.items() if split_of(q) != "train" for d, grade in grades.items() if grade > 0
    }
    visible = {d: text for d, text in domain.documents.items() if d not in judged}
    train = Domain(domain.name, domain.queries, visible, {q: domain.qrels[q] for q in queries["train"]}, domain.pools)
    usable = [q for q in queries["train"] if any(g > 0 and d in visible for d, g in domain.qrels[q].items())]
    negatives = hard_negatives(train, usable, recipe.negatives_from_top)
    usable, notes = _with_negatives(usable, negatives, recipe)
    _check_enough(domain.name, len(queries["train"]), len(usable), len(queries["dev"]), recipe)
    dev_ids = in_hash_order(queries["dev"])[: recipe.dev_queries]
    dev = candidates(domain, dev_ids, data.candidates, random_candidates=data.random_candidates)
    return TrainingData(
        domain=train,
        queries=usable,
        negatives=negatives,
        documents=sorted(visible),
        dev=with_objective(dev, objective, visible.values())[0],
        objective=objective,
        statistics=None if objective == "relevance" else statistics_of(visible.values()),
        notes=notes,
    )


def _with_negatives(
    queries: Sequence[str], negatives: Mapping[str, Sequence[str]], recipe: TrainingSpec
) -> tuple[list[str], list[str]]:
    """The queries that have the hard negatives that the recipe requires, and a note per kind of shortage."""
    wanted = recipe.hard_negatives
    kept = [q for q in queries if negatives[q] or not wanted]
    few = [q for q in kept if len(negatives[q]) < wanted]
    if queries and len(few) == len(kept):
        most = max(len(negatives[q]) for q in queries)
        raise RecipeError(
            "training.hard_negatives",
            f"expected at most {most}, the largest number of candidates of a training query that are not relevant",
            wanted,
        )
    notes = []
    if len(kept) < len(queries):
        notes.append(f"{len(queries) - len(kept)} training queries left out: none of their candidates is a negative")
    if few:
        notes.append(
            f"{len(few)} of {len(kept)} training queries have fewer than {wanted} hard negatives "
            f"(at least {min(len(negatives[q]) for q in few)}), which are drawn more than once"
        )
    return kept, notes


def _check_enough(name: str, train: int, usable: int, dev: int, recipe: TrainingSpec) -> None:
    if not usable or dev < 2:
        raise RecipeError(
            "data.source",
            f"expected training queries (80 % of the source's, by a hash of their ids, with a negative and a relevant document "
            f"that no judged query shares) and at least 2 queries for early stopping (4 %); {name} has {train} and {dev} "
            f"(fix: a larger collection); usable training queries",
            usable,
        )
    if usable < recipe.queries_a_step:
        raise RecipeError(
            "training.queries_a_step",
            f"expected at most {usable}, the training queries of {name} (fix: a smaller number, or a larger collection)",
            recipe.queries_a_step,
        )


def hard_negatives(domain: Domain, query_ids: Sequence[str], k: int) -> dict[str, list[str]]:
    """For each query the best `k` documents that are not relevant: in the collection's run, or by BM25 over the domain."""
    bm25 = None if domain.pools else BM25(domain)
    found = {}
    for query in query_ids:
        relevant = {d for d, grade in domain.qrels[query].items() if grade > 0}
        ranked = bm25.top(domain.queries[query], k + len(relevant)) if bm25 else domain.pools[query]
        found[query] = [d for d in ranked if d not in relevant and d in domain.documents][:k]
    return found
