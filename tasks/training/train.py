"""From a task file with a ``training`` section to a task that runs: base where it is made here, adapter, model card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from coterie.tasks.collections.candidates import split_of
from coterie.tasks.collections.loading import load_domain
from coterie.tasks.task import TaskSpec, cut
from coterie.tasks.training.adapter import AdapterTraining, Progress
from coterie.tasks.training.base import train_base
from coterie.tasks.training.card import measure, write_card
from coterie.tasks.training.data import training_data
from coterie.tasks.training.spec import TrainingError, TrainingSpec

Stage = Literal["base", "adapter", "card"]
STAGES: tuple[Stage, ...] = get_args(Stage)


def train_task(
    spec: TaskSpec,
    base: str,
    adapter: Path,
    stages: Sequence[Stage],
    device: str,
    log: Callable[[str], None],
    progress: Progress,
) -> None:
    """Run stages of a task's training in order; ``base`` and ``adapter`` say where they are or will be.

    Stage ``base`` makes the base model from nothing on the texts of the training queries (only where
    ``training.base`` says how), ``adapter`` fine-tunes it for the task's objective, ``card`` measures the result. Raises
    :class:`TrainingError` where the task is not one that can be trained.
    """
    recipe = _recipe(spec)
    if "base" in stages and recipe.base is not None:
        source = load_domain(spec.data.source)
        train = [q for q in source.queries if split_of(q) == "train"]
        log(f"base: {len(train)} training queries, {recipe.base.model_dump()}")
        pairs = [(source.queries[q], source.documents[d]) for q in train for d, g in source.qrels[q].items() if g > 0]
        train_base(recipe.base, pairs, Path(base), log)
    made = spec.model_copy(
        update={"reranker": spec.reranker.model_copy(update={"base": base, "adapter": str(adapter)})}
    )
    if "adapter" in stages:
        log(f"{spec.objective}: {recipe.model_dump(exclude={'base'})}")
        domain = cut(load_domain(spec.data.source), spec.data.document_words)
        data = training_data(domain, spec.data, spec.objective, recipe)
        log(
            f"{len(data.queries)} training queries, {len(data.documents)} documents, "
            f"{len({p.query_id for p in data.dev})} queries for early stopping"
        )
        AdapterTraining(made.reranker, data, recipe, adapter, device).run(log, progress)
    if "card" in stages:
        write_card(made, adapter, measure(made, log))


def _recipe(spec: TaskSpec) -> TrainingSpec:
    if spec.training is None:
        raise TrainingError(f"{spec.name}: expected a 'training' section in the task file; fix: add 'training: {{}}'")
    if not spec.data.source_trained:
        raise TrainingError(
            f"{spec.name}: data.source_trained is false, so no query is kept for training; fix: data.source_trained: true"
        )
    return spec.training
