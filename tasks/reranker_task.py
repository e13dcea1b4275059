"""A reranker's task: its plan, made from the texts and a hash of the weights, and the loaded task with one game per split.

Methods and the judge never share a query: the splits are `discovery`, `heldout` and one per transfer domain.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from coterie.tasks.cache import cached_json
from coterie.tasks.collections.candidates import CANDIDATES_VERSION, candidates
from coterie.tasks.collections.loading import load_domain
from coterie.tasks.collections.splits import split_queries
from coterie.tasks.collections.state import source_key
from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.game import refuse_additive
from coterie.tasks.ndcg import NDCG
from coterie.tasks.objectives import Objective, agreement, refuse_constant, with_objective
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.checkpoint import weights_hash
from coterie.tasks.rerankers.inputs import TaskInputs, inputs_of
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.spec import RerankerSpec
from coterie.tasks.task import Provided, Qrels
from coterie.tasks.task_spec import RerankerTaskSpec

MANY_TIES = 0.05  # share of tied candidates that is worth a warning


@dataclass(frozen=True)
class RerankerTaskPlan:
    """A reranker's task before its model is loaded: enough to recognise cells that are already computed."""

    spec: RerankerTaskSpec
    """The specification that the plan was made from."""
    pairs: Mapping[str, list[Candidate]]
    """The candidates of every split."""
    qrels: Mapping[str, Qrels]
    """The judgements of the splits whose candidates come from a run: nDCG's ideal ranking includes relevant documents that
    the run missed."""
    notes: Mapping[str, Mapping[str, int]]
    """Number of items that were dropped or need care, by domain or split, and then by reason."""
    weights_hash: str
    """SHA-256 of the checkpoint's files."""
    dataset_revision: str
    """SHA-256 of the texts, queries and judgements that were read."""
    inputs: TaskInputs
    """A hash of the tokens of all pairs, and how many texts were truncated."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what determines the task: specification, weights, texts, and the pairs and tokens of every split."""
        excluded: Any = {
            "reranker": {"base", "adapter"},
            "data": {"source", "transfer"},
            "summary": True,
            "training": True,
            "layers": True,
        }
        spec = self.spec.model_dump(mode="json", exclude=excluded)
        pairs = {n: [(p.query_id, p.document_id, p.grade, p.value) for p in rows] for n, rows in self.pairs.items()}
        parts: list[Any] = [spec, self.weights_hash, self.dataset_revision, pairs, self.qrels, self.inputs.digest]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes results incomparable with published ones, and what was dropped from the collections."""
        found = [
            f"{domain}: {count} x {reason}" for domain, notes in self.notes.items() for reason, count in notes.items()
        ]
        expected, got = self.spec.data.revision, self.dataset_revision
        fewer_queries = "queries=" in self.spec.name  # these read fewer texts, which have another revision
        if expected not in (None, got) and not fewer_queries:
            found.append(
                f"the texts differ from those of the bundled weights and results (expected revision {str(expected)[:12]}, got "
                f"{got[:12]}: other versions of the packages are installed), so these results cannot be compared with "
                f"published ones; fix: pip install -c constraints.txt -e ."
            )
        return tuple(found)

    @property
    def query_counts(self) -> dict[str, int]:
        """The number of queries of each split."""
        return {split: len({pair.query_id for pair in rows}) for split, rows in self.pairs.items()}

    def details(self) -> list[tuple[str, str]]:
        """Queries and pairs of each split, and the hashes."""
        rows = []
        for split, count in self.query_counts.items():
            truncated = self.inputs.truncation(split, self.spec.reranker.template.max_length)
            rows.append(
                (split, f"{count} queries, {len(self.pairs[split])} pairs" + (f"; {truncated}" if truncated else ""))
            )
        return [*rows, ("data revision", self.dataset_revision[:16]), ("fingerprint", self.fingerprint[:16])]

    def load(self, device: str = "cpu", progress: Callable[[str], None] = lambda _step: None) -> RerankerTask:
        """Load the reranker and run the network up to the layer once per split.

        Raises `AdditiveReadoutError` if every synergy would be zero by construction, and `RerankerError` for a checkpoint
        that would compute wrong scores.
        """
        spec = self.spec
        progress("loading the reranker")
        reranker = load_reranker(spec.reranker, device, keep_base=[spec.layer] if spec.intervention == "base" else [])
        games: dict[str, RerankerGame] = {}
        for split, rows in self.pairs.items():
            progress(f"running the network up to layer {spec.layer}: {split}")
            mean = games["discovery"].mean_activations if games else None
            site = SiteSpec(spec.layer, spec.intervention, spec.readout, spec.players, mean)
            games[split] = RerankerGame(reranker, rows, site)
        refuse_additive(games["discovery"])
        return RerankerTask(
            plan=self,
            quality={split: quality(game, spec.objective, self.qrels.get(split)) for split, game in games.items()},
            discovery=games.pop("discovery"),
            heldout=games.pop("heldout"),
            transfer=games,
            architecture=str(reranker.model.config.model_type),
            attention=str(reranker.model.config._attn_implementation),
        )


@dataclass(frozen=True)
class Quality:
    """How well the reranker does on one split with nothing ablated."""

    ndcg_at_10: float
    """Mean nDCG@10 over the split's queries."""
    ties: float
    """Share of the candidates that tie with another candidate of the same query."""
    r2: float | None = None
    """R2 between scores and a scalar objective; None for relevance, and if either is constant."""
    spearman: float | None = None
    """Spearman correlation between scores and a scalar objective; None as for `r2`."""


@dataclass(frozen=True)
class RerankerTask:
    """A reranker's task, loaded. Methods see only `discovery`; `heldout` and `transfer` are for the judge."""

    plan: RerankerTaskPlan
    """The plan that the task was loaded from."""
    discovery: RerankerGame
    """The game that methods play."""
    heldout: RerankerGame
    """Other queries of the same domain."""
    transfer: Mapping[str, RerankerGame]
    """One game per transfer domain, by name."""
    architecture: str
    """The model type of the checkpoint's configuration."""
    attention: str
    """The attention implementation that transformers chose."""
    quality: Mapping[str, Quality]
    """The reranker's quality on each split."""

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """The plan's warnings, and ties between scores: low precision causes them, and nDCG breaks them by document id."""
        ties = {split: quality.ties for split, quality in self.quality.items() if quality.ties > MANY_TIES}
        if not ties:
            return self.plan.warnings
        max_length = self.plan.spec.reranker.template.max_length
        truncated = any(self.plan.inputs.truncation(split, max_length) for split in ties)
        reason = f"; documents with the same first {max_length} tokens always tie" if truncated else ""
        shares = ", ".join(f"{share:.0%} in {split}" for split, share in ties.items())
        return (*self.plan.warnings, f"candidates that tie with another candidate of the same query: {shares}{reason}")

    @property
    def domains(self) -> dict[str, RerankerGame]:
        """The judge's games by domain: `heldout` first, then the transfer domains."""
        return {"heldout": self.heldout, **self.transfer}

    @property
    def provides(self) -> frozenset[Provided]:
        """Judgements, and transfer domains if the task has any."""
        return frozenset({"judgements", "transfer"} if self.transfer else {"judgements"})

    @property
    def truth(self) -> tuple[tuple[int, ...], ...]:
        """Nothing is planted in a trained reranker."""
        return ()

    @property
    def qrels(self) -> Mapping[str, Qrels]:
        """The judgements of the splits whose candidates come from a run."""
        return self.plan.qrels

    @property
    def documents(self) -> dict[str, str]:
        """The documents of the source's pairs, by id."""
        source = (pair for split in ("discovery", "heldout") for pair in self.plan.pairs[split])
        return {pair.document_id: pair.document for pair in source}

    def info(self) -> dict[str, Any]:
        """What a reader of a result needs to know about the task."""
        plan, spec = self.plan, self.plan.spec
        return {
            "dataset_revision": plan.dataset_revision,
            "model_hash": plan.weights_hash,
            "architecture": self.architecture,
            "objective": spec.objective,
            "layer": spec.layer,
            "intervention": spec.intervention,
            "readout": spec.readout,
            "n_players": self.discovery.n_players,
            "queries": plan.query_counts,
            "ndcg_at_10": {split: q.ndcg_at_10 for split, q in self.quality.items()},
            "r2": {split: q.r2 for split, q in self.quality.items() if q.r2 is not None},
            "spearman": {split: q.spearman for split, q in self.quality.items() if q.spearman is not None},
            "players": spec.players,
            "dtype": spec.reranker.dtype,
            "attention": self.attention,
            "revision": spec.reranker.revision,
            "reranker": _source(spec.reranker),
            "warnings": list(self.warnings),
        }


def _source(spec: RerankerSpec) -> str:
    """Base and adapter: hub ids unchanged, folders shortened to their last two names (the rest is specific to a machine)."""
    parts = [source for source in (spec.base, spec.adapter) if source is not None]
    return " + ".join("/".join(Path(s).resolve().parts[-2:]) if Path(s).is_dir() else s for s in parts)


def plan_reranker_task(spec: RerankerTaskSpec) -> RerankerTaskPlan:
    """Read the texts and hash the weights, without loading a model.

    What was read is cached, so that only the first call costs a pass over the texts and BM25. Raises `DataError` for data
    that cannot serve the task, and `RerankerError` for a checkpoint that cannot be read.
    """
    hashed = weights_hash(spec.reranker)
    sources = [source_key(domain) for domain in (spec.data.source, *spec.data.transfer)]
    data = spec.data.model_dump(mode="json", exclude={"revision"})
    key = [CANDIDATES_VERSION, sources, data, spec.objective]
    read = cached_json("data", key, lambda: read_data(spec), _is_read_data)
    pairs = {split: [Candidate(*row) for row in rows] for split, rows in read["pairs"].items()}
    return RerankerTaskPlan(
        spec=spec,
        pairs=pairs,
        qrels=read["qrels"],
        notes=read["notes"],
        weights_hash=hashed,
        dataset_revision=read["revision"],
        inputs=inputs_of(spec.reranker, pairs),
    )


def _is_read_data(value: Any) -> bool:
    """Whether a value has the form that `read_data` returns."""
    kinds = {"pairs": dict, "qrels": dict, "notes": dict, "revision": str}
    return (
        isinstance(value, dict)
        and value.keys() == kinds.keys()
        and all(isinstance(value[name], kind) for name, kind in kinds.items())
        and {"discovery", "heldout"} <= value["pairs"].keys()
    )


def read_data(spec: RerankerTaskSpec) -> dict[str, Any]:
    """Read pairs, judgements, notes and the revision of the texts, as JSON values, with one domain in memory at a time."""
    data, edges = spec.data, None
    pairs: dict[str, Any] = {}
    qrels: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    fingerprints: list[tuple[str, str]] = []
    for domain_spec in (data.source, *data.transfer):
        splits = partial(split_queries, data, None if domain_spec is data.source else domain_spec.name)
        domain = load_domain(domain_spec, lambda ids, of=splits: list(chain(*of(ids).values())), data.candidates)  # type: ignore[misc]
        fingerprints.append((domain.name, domain.fingerprint()))
        if domain.notes:  # a transfer domain may have the source's name
            notes[domain.name if domain.name not in notes else f"{domain.name} (transfer)"] = dict(domain.notes)
        domain = domain.truncated(data.document_words)
        for split, query_ids in splits(list(domain.queries)).items():
            rows = candidates(domain, query_ids, data.candidates, random_candidates=data.random_candidates)
            # the levels of a scalar objective are the quintiles of the first split, discovery, for all splits
            rows, edges = with_objective(rows, spec.objective, domain.documents.values(), edges)
            pairs[split] = [astuple(p) for p in rows]
            if domain.pools and spec.objective == "relevance":
                qrels[split] = {q: dict(domain.qrels[q]) for q in query_ids}
    for split, value in refuse_constant(
        spec.objective, {s: [Candidate(*p) for p in rows] for s, rows in pairs.items()}
    ):
        reason = f"pair with the same {spec.objective}, {value:g}: no R2, no Spearman, nothing to rank"
        notes[split] = {**notes.get(split, {}), reason: len(pairs[split])}
    revision = hashlib.sha256(json.dumps(fingerprints).encode()).hexdigest()
    return {"pairs": pairs, "qrels": qrels, "notes": notes, "revision": revision}


def quality(game: RerankerGame, objective: Objective, qrels: Qrels | None = None) -> Quality:
    """How well the reranker does on the pairs of a game with nothing ablated."""
    scores = game.scores.double().numpy()
    ndcg = float(np.mean(NDCG(game.pairs, qrels).per_query(scores)))
    counts = Counter(zip(game.query_of_pair.tolist(), scores.tolist(), strict=True))
    ties = sum(count for count in counts.values() if count > 1) / len(scores)
    if objective == "relevance":
        return Quality(ndcg, ties)
    return Quality(ndcg, ties, *(v if np.isfinite(v) else None for v in agreement(scores, game.pairs)))
