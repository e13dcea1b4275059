"""From a task file with a ``training`` section to a task that runs: base where it is made here, adapter, model card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from coterie.tasks.collections.candidates import split_of
from coterie.tasks.collections.loading import load_domain
from coterie.tasks.task import TaskSpec
from coterie.tasks.training.adapter import AdapterTraining
from coterie.tasks.training.base import Progress, train_base
from coterie.tasks.training.card import measure, write_card
from coterie.tasks.training.data import TrainingData
from coterie.tasks.training.preflight import prepare
from coterie.tasks.training.spec import TrainingSpec
from coterie.tasks.training.state import discard_checkpoint

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
    ``training.base`` says how), ``adapter`` fine-tunes it for the task's objective, ``card`` measures the result. What
    can be known before is checked before (:func:`prepare`). Raises :class:`TrainingError` where the task is not one that
    can be trained, and where the training breaks off.
    """
    prepared = prepare(spec, base, adapter, stages)
    recipe = prepared.recipe
    if "base" in stages and recipe.base is not None:
        source = load_domain(spec.data.source)
        train = [q for q in source.queries if split_of(q) == "train"]
        log(f"base: {len(train)} training queries, {recipe.base.model_dump()}")
        pairs = [(source.queries[q], source.documents[d]) for q in train for d, g in source.qrels[q].items() if g > 0]
        train_base(recipe.base, pairs, Path(base), log, progress)
    made = spec.model_copy(
        update={"reranker": spec.reranker.model_copy(update={"base": base, "adapter": str(adapter)})}
    )
    if prepared.training is not None:
        _train_adapter(made, prepared.training, recipe, adapter, device, log, progress)
    if prepared.card is not None:
        write_card(made, adapter, measure(made, prepared.card, log))
    discard_checkpoint(adapter)  # kept until now: a training killed while its card is measured is not done again


def _train_adapter(
    spec: TaskSpec,
    data: TrainingData,
    recipe: TrainingSpec,
    adapter: Path,
    device: str,
    log: Callable[[str], None],
    progress: Progress,
) -> None:
    training = AdapterTraining(spec.reranker, data, recipe, adapter, device)
    log(f"{spec.objective}: {training.recipe.model_dump(exclude={'base'})}")
    n_dev = len({p.query_id for p in data.dev})
    fewer = f" (training.dev_queries asks for {recipe.dev_queries})" if n_dev < recipe.dev_queries else ""
    log(
        f"{len(data.queries)} training queries, {len(data.documents)} documents, {n_dev} queries for early stopping{fewer}"
    )
    for note in data.notes:
        log(f"note: {note}")
    training.run(log, progress)
