"""Made-up records for tests: valid, of realistic shape, and the same for the same arguments."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from typing import Any

import numpy as np

from coterie.tracking.record import (
    CoalitionSet,
    Cost,
    Environment,
    Identity,
    Measure,
    MethodInfo,
    Record,
    Status,
    TaskInfo,
)


@dataclass(frozen=True)
class MadeUpMetric:
    """A metric of the made-up protocol; `scale` is the standard deviation of its values per query."""

    name: str
    domain: str
    unit: str
    scale: float
    higher_is_better: bool = True
    primary: bool = True
    meaning: str = ""


METRICS = (
    MadeUpMetric("synergy-excess", "heldout", "sd of the score", 0.05, meaning="f(C) minus the best f(C without k)"),
    MadeUpMetric("ndcg-drop", "heldout", "nDCG@10", 0.08, meaning="nDCG@10 lost when a coalition is ablated"),
    MadeUpMetric("ndcg-drop", "pandas", "nDCG@10", 0.09, meaning="nDCG@10 lost when a coalition is ablated"),
    MadeUpMetric("predictivity", "pandas", "R2", 0.3, meaning="R2 of a ridge regression on coalition activations"),
)


@dataclass(frozen=True)
class MadeUpMethod:
    """A method with a true effect in multiples of each metric's scale."""

    name: str
    effect: float = 0.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sees: Sequence[str] = ("weights",)
    evaluations: Mapping[str, int] = field(default_factory=lambda: {"ablations": 0})
    seconds: float = 1.0
    code_hash: str = "c0de" * 16
    budget: int = 1000

    @property
    def selector(self) -> str:
        inside = ",".join(f"{k}={v}" for k, v in self.parameters.items())
        return f"{self.name}[{inside}]" if inside else self.name


def seed_of(*parts: object) -> int:
    """The same number for the same parts in every process."""
    return zlib.crc32(repr(parts).encode())


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Path -> value, for all numbers and texts in nested lists and dictionaries."""
    if isinstance(value, dict):
        return {name: leaf for key, part in value.items() for name, leaf in flat(part, f"{path}.{key}").items()}
    if isinstance(value, list | tuple):
        return {name: leaf for i, part in enumerate(value) for name, leaf in flat(part, f"{path}[{i}]").items()}
    return {path: value}


def alike(one: Record, other: Record) -> bool:
    """Whether two records have the same coalitions and, up to rounding, the same scores."""
    ours, theirs = (flat([measure.model_dump() for measure in record.scores]) for record in (one, other))
    same = ours.keys() == theirs.keys() and all(
        isclose(ours[path], theirs[path], rel_tol=1e-5, abs_tol=1e-6)
        if isinstance(ours[path], float) and isinstance(theirs[path], float)
        else ours[path] == theirs[path]
        for path in ours
    )
    return same and one.coalitions == other.coalitions


def make_measure(
    metric: MadeUpMetric,
    effect: float,
    *,
    n_queries: int = 60,
    seed: int = 0,
    task: str = "t",
    reason: str | None = None,
) -> Measure:
    """One measure. As with real queries, difficulty varies between queries and is the same for all methods."""
    names = {"metric": metric.name, "domain": metric.domain, "unit": metric.unit, "primary": metric.primary}
    common = {**names, "higher_is_better": metric.higher_is_better, "meaning": metric.meaning}
    if reason:
        nothing = dict.fromkeys(["value", "low", "high", "method_value", "control_value"])
        return Measure(**common, **nothing, reason=reason)
    difficulty = np.random.default_rng(seed_of(task, metric.name, metric.domain)).normal(size=n_queries)
    own = np.random.default_rng(seed_of(task, metric.name, metric.domain, effect, seed)).normal(size=n_queries)
    per_query = metric.scale * (effect + 0.7 * difficulty + 0.7 * own)
    value = float(per_query.mean())
    half = float(1.96 * per_query.std() / np.sqrt(n_queries))
    control = 0.2 * metric.scale
    return Measure(
        **common,
        value=value,
        low=value - half,
        high=value + half,
        method_value=value + control,
        control_value=control,
        numerator=per_query.tolist(),
        denominator=[1.0] * n_queries,
    )


def make_record(
    method: MadeUpMethod | str = "random",
    *,
    task: str = "pydoc-llama/relevance",
    seed: int = 0,
    status: Status = "ok",
    reason: str | None = None,
    metrics: Sequence[MadeUpMetric] = METRICS,
    scores: Sequence[Measure] | None = None,
    n_queries: int = 60,
    protocol: str = "coterie-2",
    settings: Mapping[str, Any] | None = None,
    fingerprint: str | None = None,
    dataset_revision: str = "pydoc-2026.11",
    date: str = "2026-11-22T08:00:00+00:00",
    warnings: Sequence[str] = (),
) -> Record:
    """The record of one cell."""
    if isinstance(method, str):
        method = MadeUpMethod(method)
    identity = Identity(
        protocol=protocol,
        settings=dict(settings) if settings is not None else {"k": 32, "controls": 20},
        task_name=task,
        task_fingerprint=fingerprint or f"{seed_of(task):08x}" * 8,
        method_name=method.name,
        parameters=dict(method.parameters),
        code_hash=method.code_hash,
        budget=method.budget,
        seed=seed,
    )
    if scores is None:
        scores = [make_measure(m, method.effect, n_queries=n_queries, seed=seed, task=task) for m in metrics]
    ok = status == "ok"
    return Record(
        identity=identity,
        identity_digest=identity.digest(),
        date=date,
        status=status,
        reason=reason,
        task=_task_info(dataset_revision, n_queries, warnings),
        method=MethodInfo(selector=method.selector, sees=list(method.sees), reference="", summary="made up"),
        environment=_environment(),
        cost=_cost(method) if ok else None,
        coalitions=CoalitionSet(n_players=8, groups=[[0, 1, 2], [3, 4]]) if ok else None,
        scores=list(scores) if ok else [],
    )


def _task_info(revision: str, n_queries: int, warnings: Sequence[str]) -> TaskInfo:
    return TaskInfo(
        dataset_revision=revision,
        model_hash="feed" * 16,
        architecture="LlamaForSequenceClassification",
        objective="relevance",
        layer=2,
        intervention="zero",
        readout="score",
        n_players=352,
        queries={"discovery": 200, "heldout": n_queries, "pandas": n_queries},
        ndcg_at_10={"heldout": 0.45, "pandas": 0.41},
        warnings=list(warnings),
    )


def _environment() -> Environment:
    return Environment(
        coterie_version="0.1.0",
        git_hash="0123456789abcdef0123456789abcdef01234567",
        python="3.11.7",
        packages={"torch": "2.13.0"},
        platform="Linux-x86_64",
        device="cpu",
        threads=2,
    )


def _cost(method: MadeUpMethod) -> Cost:
    return Cost(
        evaluations=dict(method.evaluations),
        discovery_seconds=method.seconds,
        scoring_seconds=12.5,
        peak_memory_bytes=700_000_000,
    )
