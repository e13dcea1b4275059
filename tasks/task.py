"""A task: a reranker, a layer and query-document data, split so that methods and judges never share a query."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from coterie.tasks.cache import remembered
from coterie.tasks.collections.candidates import BM25, CANDIDATES_VERSION, candidates, in_hash_order, split_of
from coterie.tasks.collections.pydoc import load_pydoc
from coterie.tasks.collections.types import Candidate, Domain
from coterie.tasks.game import Intervention, Readout, refuse_additive
from coterie.tasks.ndcg import NDCG
from coterie.tasks.reranker import RerankerSpec, load_reranker, weights_hash
from coterie.tasks.reranker_game import RerankerGame


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QueryCounts(_Spec):
    """Queries of each split; ``transfer`` is for each transfer domain."""

    discovery: int = Field(default=64, ge=2)
    heldout: int = Field(default=64, ge=2)
    transfer: int = Field(default=48, ge=2)


class DataSpec(_Spec):
    """Which texts, how many of them, and the revision that the bundled weights and results were made with."""

    collection: Literal["pydoc"] = "pydoc"
    source: str
    transfer: tuple[str, ...]
    candidates: int = Field(default=10, ge=2)
    queries: QueryCounts = QueryCounts()
    revision: str | None = None


class TaskSpec(_Spec):
    """A task as it is written in YAML."""

    name: str
    summary: str
    objective: Literal["relevance"] = "relevance"
    reranker: RerankerSpec
    layer: int = Field(ge=0)
    intervention: Intervention = "zero"
    readout: Readout = "score"
    data: DataSpec


@dataclass(frozen=True)
class TaskPlan:
    """A task before its model is loaded: everything that determines it, so that finished cells are found at once."""

    spec: TaskSpec
    pairs: Mapping[str, list[Candidate]]
    weights_hash: str
    dataset_revision: str

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what determines the task: specification, weights, texts and the pairs of every split."""
        spec = self.spec.model_dump(mode="json", exclude={"reranker": {"base", "adapter"}, "summary": True})
        pairs = {n: [(p.query_id, p.document_id, p.grade) for p in rows] for n, rows in self.pairs.items()}
        parts: list[Any] = [spec, self.weights_hash, self.dataset_revision, pairs]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes results on this installation not comparable with published ones."""
        expected, got = self.spec.data.revision, self.dataset_revision
        if expected in (None, got):
            return ()
        return (
            f"the texts of collection {self.spec.data.collection!r} differ from those that the bundled weights and results "
            f"were made with (expected revision {str(expected)[:12]}, got {got[:12]}: other versions of the packages are "
            f"installed); these results are not comparable with published ones; fix: pip install -c constraints.txt -e .",
        )


@dataclass(frozen=True)
class Task:
    """A loaded task. Methods are handed ``discovery`` alone; ``heldout`` and ``transfer`` are the judges'."""

    plan: TaskPlan
    discovery: RerankerGame
    heldout: RerankerGame
    transfer: Mapping[str, RerankerGame]
    architecture: str
    ndcg_at_10: Mapping[str, float]

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def domains(self) -> dict[str, RerankerGame]:
        """The judges' games by name: ``heldout`` first, then the transfer domains."""
        return {"heldout": self.heldout, **self.transfer}


def plan_task(spec: TaskSpec) -> TaskPlan:
    """Read the texts and hash the weights; no model is loaded. Raises ``ValueError`` for data that do not fit the task.

    The candidates of each split are kept in the cache folder, so that only the first time costs BM25 over all texts.
    """
    domains = load_pydoc()
    _check_domains(spec.data, domains)
    used = {name: domains[name] for name in (spec.data.source, *spec.data.transfer)}
    revision = data_revision(used)
    pairs = remembered(
        "candidates",
        [CANDIDATES_VERSION, revision, spec.data.model_dump(mode="json", exclude={"revision"})],
        lambda: {split: [astuple(p) for p in rows] for split, rows in split_pairs(spec.data, used).items()},
    )
    return TaskPlan(
        spec=spec,
        pairs={split: [Candidate(*row) for row in rows] for split, rows in pairs.items()},
        weights_hash=weights_hash(spec.reranker),
        dataset_revision=revision,
    )


def load_task(plan: TaskPlan, device: str = "cpu", progress: Callable[[str], None] = lambda _step: None) -> Task:
    """Load the reranker and run the network up to the layer once over every split.

    ``progress`` is told each step in words. Raises ``AdditiveReadoutError`` where every synergy would be zero by
    construction, ``RerankerError`` for a checkpoint that would give wrong scores.
    """
    spec = plan.spec
    progress("loading the reranker")
    reranker = load_reranker(spec.reranker, device, keep_base=spec.intervention == "base")
    games: dict[str, RerankerGame] = {}
    for split, rows in plan.pairs.items():
        progress(f"running the network up to layer {spec.layer}: {split}")
        mean = games["discovery"].mean_activations if games else None
        games[split] = RerankerGame(reranker, rows, spec.layer, spec.intervention, spec.readout, mean)
    refuse_additive(games["discovery"])
    return Task(
        plan=plan,
        ndcg_at_10={split: mean_ndcg(game) for split, game in games.items()},
        discovery=games.pop("discovery"),
        heldout=games.pop("heldout"),
        transfer=games,
        architecture=str(reranker.model.config.model_type),
    )


def split_pairs(spec: DataSpec, domains: Mapping[str, Domain]) -> dict[str, list[Candidate]]:
    """The candidates of every split: ``discovery``, ``heldout`` and one by transfer domain; no query stands in two.

    Raises ``ValueError`` for a domain with too few queries.
    """
    source = domains[spec.source]
    pairs: dict[str, list[Candidate]] = {}
    bm25 = BM25(source)
    for split, count in (("discovery", spec.queries.discovery), ("heldout", spec.queries.heldout)):
        chosen = _take(
            in_hash_order([q for q in source.queries if split_of(q) == split]), count, f"{spec.source}/{split}"
        )
        pairs[split] = candidates(source, chosen, spec.candidates, bm25)
    for name in spec.transfer:
        chosen = _take(in_hash_order(list(domains[name].queries)), spec.queries.transfer, name)
        pairs[name] = candidates(domains[name], chosen, spec.candidates)
    return pairs


def data_revision(domains: Mapping[str, Domain]) -> str:
    """SHA-256 over the fingerprints of the domains, by name."""
    parts = [(name, domains[name].fingerprint()) for name in sorted(domains)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def resolve_paths(spec: TaskSpec, folder: Path) -> TaskSpec:
    """The specification with reranker folders that are relative to the task file made absolute."""

    def resolve(source: str | None) -> str | None:
        return str(folder / source) if source and (folder / source).is_dir() else source

    reranker = spec.reranker.model_copy(
        update={"base": resolve(spec.reranker.base), "adapter": resolve(spec.reranker.adapter)}
    )
    return spec.model_copy(update={"reranker": reranker})


def _check_domains(spec: DataSpec, domains: Mapping[str, Domain]) -> None:
    unknown = {spec.source, *spec.transfer} - set(domains)
    if unknown:
        raise ValueError(f"data: unknown domains {sorted(unknown)}; expected some of {sorted(domains)}")


def _take(query_ids: list[str], count: int, where: str) -> list[str]:
    if len(query_ids) < count:
        raise ValueError(f"data.queries: {where} has {len(query_ids)} queries, {count} asked for; fix: ask for fewer")
    return query_ids[:count]


def mean_ndcg(game: RerankerGame) -> float:
    """Mean nDCG@10 of the reranker on a game's queries, nothing ablated."""
    return float(np.mean(NDCG(game.pairs).per_query(game.scores.double().numpy())))
