"""Tasks of either kind, rerankers and planted games, as the runner handles them: planned, loaded, described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import JsonValue

from coterie.tasks.planted.task import PlantedPlan, PlantedSpec, PlantedTask, load_planted
from coterie.tasks.rerankers.reranker import RerankerSpec
from coterie.tasks.task import Task, TaskPlan, TaskSpec
from coterie.tasks.task import load_task as load_reranker_task
from coterie.tasks.task import plan_task as plan_reranker_task
from coterie.tracking.record import TaskInfo

AnySpec = TaskSpec | PlantedSpec
AnyPlan = TaskPlan | PlantedPlan
AnyTask = Task | PlantedTask


def plan_task(spec: AnySpec) -> AnyPlan:
    """Everything that determines the task; no model is loaded."""
    return PlantedPlan(spec) if isinstance(spec, PlantedSpec) else plan_reranker_task(spec)


def read_spec(values: Mapping[str, JsonValue], planted: bool) -> AnySpec:
    """The inverse of ``spec.model_dump(mode="json")``."""
    return PlantedSpec.model_validate(values) if planted else TaskSpec.model_validate(values)


def load_task(plan: AnyPlan, device: str, progress: Callable[[str], None]) -> AnyTask:
    """The games of a task."""
    if isinstance(plan, PlantedPlan):
        progress("planting")
        return load_planted(plan, device)
    return load_reranker_task(plan, device, progress)


def task_info(task: AnyTask) -> TaskInfo:
    """What a reader of a record must know of the task."""
    if isinstance(task, PlantedTask):
        spec = task.plan.spec
        return TaskInfo(
            dataset_revision=task.plan.fingerprint,
            model_hash=task.plan.fingerprint,
            architecture=f"planted {spec.inside}",
            objective="planted",
            layer=0,
            intervention="zero",
            readout="score",
            n_players=task.discovery.n_players,
            queries={"discovery": spec.queries, "heldout": spec.queries},
            ndcg_at_10={},
        )
    plan, spec_of_reranker = task.plan, task.plan.spec
    return TaskInfo(
        dataset_revision=plan.dataset_revision,
        model_hash=plan.weights_hash,
        architecture=task.architecture,
        objective=spec_of_reranker.objective,
        layer=spec_of_reranker.layer,
        intervention=spec_of_reranker.intervention,
        readout=spec_of_reranker.readout,
        n_players=task.discovery.n_players,
        queries={name: len({p.query_id for p in rows}) for name, rows in plan.pairs.items()},
        ndcg_at_10={split: q.ndcg_at_10 for split, q in task.quality.items()},
        r2={split: q.r2 for split, q in task.quality.items() if q.r2 is not None},
        spearman={split: q.spearman for split, q in task.quality.items() if q.spearman is not None},
        players=spec_of_reranker.players,
        dtype=spec_of_reranker.reranker.dtype,
        attention=task.attention,
        revision=spec_of_reranker.reranker.revision,
        reranker=_source(spec_of_reranker.reranker),
        warnings=list(task.warnings),
    )


def _source(spec: RerankerSpec) -> str:
    """Base and adapter: hub ids as they are, a folder by its last two names (the rest says only who ran this)."""
    parts = [source for source in (spec.base, spec.adapter) if source is not None]
    return " + ".join("/".join(Path(s).resolve().parts[-2:]) if Path(s).is_dir() else s for s in parts)
