"""A task: a reranker, a layer and query-document data, split so that methods and judges never share a query."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from coterie.tasks.cache import remembered
from coterie.tasks.checkpoint import weights_hash
from coterie.tasks.collections.candidates import CANDIDATES_VERSION, candidates, in_hash_order, split_of
from coterie.tasks.collections.loading import load_domain, resolve, source_key
from coterie.tasks.collections.specs import DomainSpec
from coterie.tasks.collections.types import Candidate, DataError, Domain
from coterie.tasks.game import Intervention, Readout, refuse_additive
from coterie.tasks.ndcg import NDCG
from coterie.tasks.objectives import Objective, agreement, with_objective
from coterie.tasks.reranker import load_reranker
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.reranker_spec import RerankerSpec
from coterie.tasks.task_inputs import TaskInputs, inputs_of
from coterie.tasks.training.spec import TrainingSpec

MANY_TIES = 0.05
Qrels = Mapping[str, Mapping[str, int]]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QueryCounts(_Spec):
    """Queries of each split; ``transfer`` is for each transfer domain."""

    discovery: int = Field(default=64, ge=2)
    heldout: int = Field(default=64, ge=2)
    transfer: int = Field(default=48, ge=2)


class DataSpec(_Spec):
    """Which texts, how many of them, and the revision that published results were made with.

    Where the reranker was trained on the source (``source_trained``), 84 % of its queries, by a hash of their ids, are
    for training and never judged; discovery and held-out queries are taken from the rest. ``random_candidates`` of a
    query's ``candidates`` are drawn at random instead of from the top of BM25. ``document_words`` cuts every document to
    so many words, so that an objective is computed on what the reranker reads.
    """

    source: DomainSpec
    transfer: tuple[DomainSpec, ...] = ()
    candidates: int = Field(default=10, ge=2)
    random_candidates: int = Field(default=0, ge=0)
    document_words: int | None = Field(default=None, ge=1)
    source_trained: bool = False
    queries: QueryCounts = QueryCounts()
    revision: str | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = ["discovery", "heldout", *(domain.name for domain in self.transfer)]
        if len(set(names)) < len(names):
            raise ValueError(f"transfer: expected domains of different names, got {names[2:]}; fix: give each a name")
        return self


class TaskSpec(_Spec):
    """A task as it is written in YAML."""

    name: str
    summary: str
    objective: Objective = "relevance"
    reranker: RerankerSpec
    layer: int = Field(ge=0)
    layers: tuple[int, ...] = Field(default=(), description="the layers worth looking at; name[layer=9] takes another")
    players: str = "neurons"
    intervention: Intervention = "zero"
    readout: Readout = "score"
    data: DataSpec
    training: TrainingSpec | None = None


@dataclass(frozen=True)
class TaskPlan:
    """A task before its model is loaded: everything that determines it, so that finished cells are found at once.

    ``pairs`` are the candidates of every split. ``qrels`` are the judgements of splits whose candidates come from a run:
    nDCG's ideal ranking counts the relevant documents that the run missed. ``notes`` count, by domain and reason, what
    was left out or mended while reading.
    """

    spec: TaskSpec
    pairs: Mapping[str, list[Candidate]]
    qrels: Mapping[str, Qrels]
    notes: Mapping[str, Mapping[str, int]]
    weights_hash: str
    dataset_revision: str
    inputs: TaskInputs

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what determines the task: specification, weights, texts, pairs of every split and their tokens."""
        left_out: Any = {
            "reranker": {"base", "adapter"},
            "data": {"source", "transfer"},
            "summary": True,
            "training": True,
            "layers": True,
        }
        spec = self.spec.model_dump(mode="json", exclude=left_out)
        pairs = {n: [(p.query_id, p.document_id, p.grade, p.value) for p in rows] for n, rows in self.pairs.items()}
        parts: list[Any] = [spec, self.weights_hash, self.dataset_revision, pairs, self.qrels, self.inputs.digest]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes results not comparable with published ones, and what was left out of the collections."""
        found = [
            f"{domain}: {count} x {reason}" for domain, notes in self.notes.items() for reason, count in notes.items()
        ]
        expected, got = self.spec.data.revision, self.dataset_revision
        fewer = "queries=" in self.spec.name  # of fewer queries fewer texts are read, and their revision is another
        if expected not in (None, got) and not fewer:
            found.append(
                f"the texts differ from those that the bundled weights and results were made with (expected revision "
                f"{str(expected)[:12]}, got {got[:12]}: other versions of the packages are installed); these results are "
                f"not comparable with published ones; fix: pip install -c constraints.txt -e ."
            )
        return tuple(found)


@dataclass(frozen=True)
class Quality:
    """How well the reranker does on one split, nothing ablated; R2 and Spearman only of a scalar objective."""

    ndcg_at_10: float
    ties: float  # share of the candidates that have the score of another one of their query
    r2: float | None = None
    spearman: float | None = None


@dataclass(frozen=True)
class Task:
    """A loaded task. Methods are handed ``discovery`` alone; ``heldout`` and ``transfer`` are the judges'."""

    plan: TaskPlan
    discovery: RerankerGame
    heldout: RerankerGame
    transfer: Mapping[str, RerankerGame]
    architecture: str
    attention: str
    quality: Mapping[str, Quality]

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """The plan's, and ties between scores, which low precision makes and nDCG breaks by document id."""
        shares = {split: q.ties for split, q in self.quality.items() if q.ties > MANY_TIES}
        most = self.plan.spec.reranker.template.max_length
        ties = [
            f"{split}: {share:.0%} of candidates tie with another candidate of the same query"
            + (
                f"; {cut}, and documents that are alike up to there tie"
                if (cut := self.plan.inputs.in_words(split, most))
                else ""
            )
            for split, share in shares.items()
        ]
        return (*self.plan.warnings, *ties)

    @property
    def domains(self) -> dict[str, RerankerGame]:
        """The judges' games by name: ``heldout`` first, then the transfer domains."""
        return {"heldout": self.heldout, **self.transfer}


def plan_task(spec: TaskSpec) -> TaskPlan:
    """Read the texts and hash the weights; no model is loaded. Raises ``DataError`` for data that do not fit the task.

    What was read is kept in the cache folder, so that only the first time costs a pass over the texts, and BM25.
    """
    hashed = weights_hash(spec.reranker)
    sources = [source_key(domain) for domain in (spec.data.source, *spec.data.transfer)]
    data = spec.data.model_dump(mode="json", exclude={"revision"})
    read = remembered("data", [CANDIDATES_VERSION, sources, data, spec.objective], lambda: read_data(spec))
    pairs = {split: [Candidate(*row) for row in rows] for split, rows in read["pairs"].items()}
    return TaskPlan(
        spec=spec,
        pairs=pairs,
        qrels=read["qrels"],
        notes=read["notes"],
        weights_hash=hashed,
        dataset_revision=read["revision"],
        inputs=inputs_of(spec.reranker, pairs),
    )


def load_task(plan: TaskPlan, device: str = "cpu", progress: Callable[[str], None] = lambda _step: None) -> Task:
    """Load the reranker and run the network up to the layer once over every split.

    ``progress`` is told each step in words. Raises ``AdditiveReadoutError`` where every synergy would be zero by
    construction, ``RerankerError`` for a checkpoint that would give wrong scores.
    """
    spec = plan.spec
    progress("loading the reranker")
    reranker = load_reranker(spec.reranker, device, keep_base=[spec.layer] if spec.intervention == "base" else [])
    games: dict[str, RerankerGame] = {}
    for split, rows in plan.pairs.items():
        progress(f"running the network up to layer {spec.layer}: {split}")
        mean = games["discovery"].mean_activations if games else None
        games[split] = RerankerGame(
            reranker, rows, spec.layer, spec.intervention, spec.readout, mean, players=spec.players
        )
    refuse_additive(games["discovery"])
    return Task(
        plan=plan,
        quality={split: quality(game, spec.objective, plan.qrels.get(split)) for split, game in games.items()},
        discovery=games.pop("discovery"),
        heldout=games.pop("heldout"),
        transfer=games,
        architecture=str(reranker.model.config.model_type),
        attention=str(reranker.model.config._attn_implementation),
    )


def read_data(spec: TaskSpec) -> dict[str, Any]:
    """Pairs, judgements, notes and the revision of the texts, as JSON values; one domain is in memory at a time."""
    data, edges = spec.data, None
    pairs: dict[str, Any] = {}
    qrels: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    prints: list[tuple[str, str]] = []
    for domain_spec in (data.source, *data.transfer):
        splits = partial(split_queries, data, None if domain_spec is data.source else domain_spec.name)
        domain = load_domain(domain_spec, lambda ids, of=splits: list(chain(*of(ids).values())), data.candidates)  # type: ignore[misc]
        prints.append((domain.name, domain.fingerprint()))
        if domain.notes:
            notes[domain.name] = dict(domain.notes)
        domain = cut(domain, data.document_words)
        for split, query_ids in splits(list(domain.queries)).items():
            rows = candidates(domain, query_ids, data.candidates, random_candidates=data.random_candidates)
            # the levels of a scalar objective are the quintiles of the first split, discovery, everywhere
            rows, found = with_objective(rows, spec.objective, domain.documents.values(), edges)
            edges = found if edges is None else edges
            pairs[split] = [astuple(p) for p in rows]
            if domain.pools and spec.objective == "relevance":
                qrels[split] = {q: dict(domain.qrels[q]) for q in query_ids}
    revision = hashlib.sha256(json.dumps(prints).encode()).hexdigest()
    return {"pairs": pairs, "qrels": qrels, "notes": notes, "revision": revision}


def split_queries(data: DataSpec, transfer: str | None, query_ids: list[str]) -> dict[str, list[str]]:
    """The queries of each split of the source, ``discovery`` and ``heldout``, or of the transfer domain of that name.

    None stands in two splits, none was trained on: by the hash of their ids where part of the source is for training,
    else one after the other in hash order. Raises ``DataError`` for too few queries.
    """
    wanted = data.queries
    if transfer is not None:
        return {transfer: _take(in_hash_order(query_ids), wanted.transfer, transfer)}
    name = data.source.name
    if data.source_trained:
        of = {s: in_hash_order([q for q in query_ids if split_of(q) == s]) for s in ("discovery", "heldout")}
        return {s: _take(ids, getattr(wanted, s), f"{name}/{s}") for s, ids in of.items()}
    both = _take(in_hash_order(query_ids), wanted.discovery + wanted.heldout, name)
    return {"discovery": both[: wanted.discovery], "heldout": both[wanted.discovery :]}


def cut(domain: Domain, words: int | None) -> Domain:
    """The domain with every document cut to so many words."""
    if words is None:
        return domain
    return replace(domain, documents={d: " ".join(text.split()[:words]) for d, text in domain.documents.items()})


def resolve_paths(spec: TaskSpec, folder: Path) -> TaskSpec:
    """The specification with folders and files that are relative to the task file made absolute.

    A base or an adapter is a folder where there is one, or where the task's training writes it; else it is a hub id.
    """

    def local(source: str | None, made: bool) -> str | None:
        return str(folder / source) if source and (made or (folder / source).is_dir()) else source

    trains = spec.training is not None
    reranker = spec.reranker.model_copy(
        update={
            "base": local(spec.reranker.base, trains and spec.training.base is not None),  # type: ignore[union-attr]
            "adapter": local(spec.reranker.adapter, trains),
        }
    )
    data = spec.data.model_copy(
        update={
            "source": resolve(spec.data.source, folder),
            "transfer": tuple(resolve(domain, folder) for domain in spec.data.transfer),
        }
    )
    return spec.model_copy(update={"reranker": reranker, "data": data})


def _take(query_ids: list[str], count: int, where: str) -> list[str]:
    if len(query_ids) < count:
        raise DataError(f"data.queries: {where} has {len(query_ids)} queries, {count} asked for; fix: ask for fewer")
    return query_ids[:count]


def quality(game: RerankerGame, objective: Objective, qrels: Qrels | None = None) -> Quality:
    """The reranker's own quality on a game's pairs."""
    scores = game.scores.double().numpy()
    ndcg = float(np.mean(NDCG(game.pairs, qrels).per_query(scores)))
    counts = Counter(zip(game.query_of_pair.tolist(), scores.tolist(), strict=True))
    ties = sum(count for count in counts.values() if count > 1) / len(scores)
    return Quality(ndcg, ties) if objective == "relevance" else Quality(ndcg, ties, *agreement(scores, game.pairs))
