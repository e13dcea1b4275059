"""A task: a reranker, a layer and query-document data, split so that methods and judges never share a query."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from coterie.tasks.cache import remembered
from coterie.tasks.collections.candidates import CANDIDATES_VERSION, candidates
from coterie.tasks.collections.data_spec import DataSpec, QueryCounts, cut, split_queries
from coterie.tasks.collections.loading import load_domain, resolve, source_key
from coterie.tasks.collections.types import Candidate
from coterie.tasks.config.names import task_name
from coterie.tasks.config.numbers import Whole
from coterie.tasks.config.paths import at_home
from coterie.tasks.config.yaml_file import Origin
from coterie.tasks.game import Intervention, Readout, refuse_additive
from coterie.tasks.ndcg import NDCG
from coterie.tasks.objectives import Objective, agreement, refuse_constant, with_objective
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.checkpoint import weights_hash
from coterie.tasks.rerankers.inputs import TaskInputs, inputs_of
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.spec import RerankerSpec
from coterie.tasks.training.spec import TrainingSpec

MANY_TIES = 0.05
Qrels = Mapping[str, Mapping[str, int]]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskSpec(_Spec):
    """A task as it is written in YAML."""

    name: Annotated[str, AfterValidator(task_name)]
    summary: str
    objective: Objective = "relevance"
    reranker: RerankerSpec
    layer: Whole = Field(ge=0)
    layers: tuple[Annotated[Whole, Field(ge=0)], ...] = Field(
        default=(), description="the layers worth looking at; name[layer=9] takes another"
    )
    players: str = "neurons"
    intervention: Intervention = "zero"
    readout: Readout = "score"
    data: DataSpec
    training: TrainingSpec | None = None
    _origin: Origin | None = PrivateAttr(default=None)

    @property
    def origin(self) -> Origin:
        """Where it was read, for errors about it."""
        return self._origin or Origin(self.name)

    def read_at(self, origin: Origin) -> Self:
        """The same, read there."""
        copy = self.model_copy()
        copy._origin = origin
        return copy


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
    key = [CANDIDATES_VERSION, sources, data, spec.objective]
    read = remembered("data", key, lambda: read_data(spec), _is_read_data)
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


def _is_read_data(value: Any) -> bool:
    """Whether a value has the form of what :func:`read_data` gives."""
    kinds = {"pairs": dict, "qrels": dict, "notes": dict, "revision": str}
    return (
        isinstance(value, dict)
        and value.keys() == kinds.keys()
        and all(isinstance(value[name], kind) for name, kind in kinds.items())
        and {"discovery", "heldout"} <= value["pairs"].keys()
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
        if domain.notes:  # a transfer domain may be named as the source is
            notes[domain.name if domain.name not in notes else f"{domain.name} (transfer)"] = dict(domain.notes)
        domain = cut(domain, data.document_words)
        for split, query_ids in splits(list(domain.queries)).items():
            rows = candidates(domain, query_ids, data.candidates, random_candidates=data.random_candidates)
            # the levels of a scalar objective are the quintiles of the first split, discovery, everywhere
            rows, found = with_objective(rows, spec.objective, domain.documents.values(), edges)
            edges = found if edges is None else edges
            pairs[split] = [astuple(p) for p in rows]
            if domain.pools and spec.objective == "relevance":
                qrels[split] = {q: dict(domain.qrels[q]) for q in query_ids}
    for split, value in refuse_constant(
        spec.objective, {s: [Candidate(*p) for p in rows] for s, rows in pairs.items()}
    ):
        reason = f"pair with {spec.objective} {value:g}, as all there have: no R2, no Spearman, nothing to rank"
        notes[split] = {**notes.get(split, {}), reason: len(pairs[split])}
    revision = hashlib.sha256(json.dumps(prints).encode()).hexdigest()
    return {"pairs": pairs, "qrels": qrels, "notes": notes, "revision": revision}


def resolve_paths(spec: TaskSpec, folder: Path) -> TaskSpec:
    """The specification with folders and files that are relative to the task file made absolute.

    A base or an adapter is a folder where there is one, or where the task's training writes it; else it is a hub id.
    """

    def local(source: str | None, made: bool) -> str | None:
        here = None if source is None else folder / at_home(source)
        return str(here) if here is not None and (made or str(source).startswith("~") or here.is_dir()) else source

    training = spec.training
    reranker = spec.reranker.model_copy(
        update={
            "base": local(spec.reranker.base, training is not None and training.base is not None),
            "adapter": local(spec.reranker.adapter, training is not None),
        }
    )
    data = spec.data.model_copy(
        update={
            "source": resolve(spec.data.source, folder),
            "transfer": tuple(resolve(domain, folder) for domain in spec.data.transfer),
        }
    )
    if training is not None and training.init_adapter is not None:
        training = training.model_copy(update={"init_adapter": at_home(training.init_adapter)})
    return spec.model_copy(update={"reranker": reranker, "data": data, "training": training})


def quality(game: RerankerGame, objective: Objective, qrels: Qrels | None = None) -> Quality:
    """The reranker's own quality on a game's pairs; no R2 and Spearman where the objective or the score does not vary."""
    scores = game.scores.double().numpy()
    ndcg = float(np.mean(NDCG(game.pairs, qrels).per_query(scores)))
    counts = Counter(zip(game.query_of_pair.tolist(), scores.tolist(), strict=True))
    ties = sum(count for count in counts.values() if count > 1) / len(scores)
    if objective == "relevance":
        return Quality(ndcg, ties)
    return Quality(ndcg, ties, *(v if np.isfinite(v) else None for v in agreement(scores, game.pairs)))


__all__ = [
    "DataSpec",
    "Qrels",
    "Quality",
    "QueryCounts",
    "Task",
    "TaskPlan",
    "TaskSpec",
    "cut",
    "load_task",
    "plan_task",
    "quality",
    "resolve_paths",
    "split_queries",
]
