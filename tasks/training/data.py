"""What the fine-tuning is shown: queries set aside for it, with relevant, hard and random documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from coterie.tasks.collections.candidates import BM25, candidates, in_hash_order, split_of
from coterie.tasks.collections.types import Candidate, Domain
from coterie.tasks.errors import RecipeError
from coterie.tasks.objectives import Objective, objective_values, with_objective
from coterie.tasks.signals import CollectionStatistics, statistics_of
from coterie.tasks.training.spec import TrainingSpec

if TYPE_CHECKING:
    from coterie.tasks.task import DataSpec


@dataclass(frozen=True)
class TrainingData:
    """Texts and judgements for training, and the candidates of other queries for early stopping (graded)."""

    domain: Domain
    queries: Sequence[str]
    negatives: Mapping[str, Sequence[str]]  # hard ones, best first
    documents: Sequence[str]  # where random ones are drawn from
    dev: Sequence[Candidate]
    objective: Objective
    statistics: CollectionStatistics | None  # None for relevance
    notes: Sequence[str] = ()  # what is left out or drawn more than once

    def draw(self, recipe: TrainingSpec, draw: np.random.Generator) -> list[Candidate]:
        """The pairs of one step, query by query; of each query's documents a relevant one stands first."""
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
    """The source domain as the fine-tuning sees it: no query or relevant document of discovery and held-out is in it.

    Queries without any negative of their own are left out, as ``notes`` says. Raises ``RecipeError`` where the domain has
    too few queries or negatives for the recipe.
    """
    queries = {split: [q for q in domain.queries if split_of(q) == split] for split in ("train", "dev")}
    judged = {
        d for q, grades in domain.qrels.items() if split_of(q) != "train" for d, grade in grades.items() if grade > 0
    }
    shown = {d: text for d, text in domain.documents.items() if d not in judged}
    train = Domain(domain.name, domain.queries, shown, {q: domain.qrels[q] for q in queries["train"]}, domain.pools)
    usable = [q for q in queries["train"] if any(g > 0 and d in shown for d, g in domain.qrels[q].items())]
    negatives = hard_negatives(train, usable, recipe.negatives_from_top)
    usable, notes = _with_negatives(usable, negatives, recipe)
    _check_enough(domain.name, len(queries["train"]), len(usable), len(queries["dev"]), recipe)
    dev_ids = in_hash_order(queries["dev"])[: recipe.dev_queries]
    dev = candidates(domain, dev_ids, data.candidates, random_candidates=data.random_candidates)
    return TrainingData(
        domain=train,
        queries=usable,
        negatives=negatives,
        documents=sorted(shown),
        dev=with_objective(dev, objective, shown.values())[0],
        objective=objective,
        statistics=None if objective == "relevance" else statistics_of(shown.values()),
        notes=notes,
    )


def _with_negatives(
    queries: Sequence[str], negatives: Mapping[str, Sequence[str]], recipe: TrainingSpec
) -> tuple[list[str], list[str]]:
    """The queries with hard negatives, where the recipe wants any, and one line for each way of having too few."""
    wanted = recipe.hard_negatives
    kept = [q for q in queries if negatives[q] or not wanted]
    few = [q for q in kept if len(negatives[q]) < wanted]
    if queries and len(few) == len(kept):
        most = max(len(negatives[q]) for q in queries)
        raise RecipeError(
            "training.hard_negatives",
            f"expected at most {most}, the most documents that are not relevant among any training query's candidates",
            wanted,
        )
    notes = []
    if len(kept) < len(queries):
        notes.append(f"{len(queries) - len(kept)} training queries left out: no candidate of theirs is a negative")
    if few:
        notes.append(
            f"{len(few)} of {len(kept)} training queries have fewer than {wanted} hard negatives "
            f"(at least {min(len(negatives[q]) for q in few)}): theirs are drawn more than once"
        )
    return kept, notes


def _check_enough(name: str, train: int, usable: int, dev: int, recipe: TrainingSpec) -> None:
    if not usable or dev < 2:
        raise RecipeError(
            "data.source",
            f"expected queries to train on (80 % of the source's, by a hash of their ids, with a document that may be shown "
            f"and a negative) and at least 2 for early stopping (4 %) (fix: a larger collection); {name} has {train} and "
            f"{dev}, of the former usable",
            usable,
        )
    if usable < recipe.queries_a_step:
        raise RecipeError(
            "training.queries_a_step",
            f"expected at most {usable}, as many queries of {name} can be trained on (a smaller number, or a larger collection)",
            recipe.queries_a_step,
        )


def hard_negatives(domain: Domain, query_ids: Sequence[str], k: int) -> dict[str, list[str]]:
    """The best ``k`` documents that are not relevant: of the collection's run, or of BM25 over the domain."""
    bm25 = None if domain.pools else BM25(domain)
    found = {}
    for query in query_ids:
        relevant = {d for d, grade in domain.qrels[query].items() if grade > 0}
        ranked = bm25.top(domain.queries[query], k + len(relevant)) if bm25 else domain.pools[query]
        found[query] = [d for d in ranked if d not in relevant and d in domain.documents][:k]
    return found
