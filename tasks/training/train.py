"""Train a task with a `training` section until it can run: its base unless pretrained, its adapter and its model card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from coterie.tasks.collections.loading import load_domain
from coterie.tasks.collections.splits import split_of
from coterie.tasks.task_spec import RerankerTaskSpec
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
    spec: RerankerTaskSpec,
    base: str,
    adapter: Path,
    stages: Sequence[Stage],
    device: str,
    log: Callable[[str], None],
    progress: Progress,
    source: str,
) -> None:
    """Run stages of a task's training in order; `base` and `adapter` are their locations, existing or future.

    Stage `base` trains the base model from scratch on the texts of the training queries (only with `training.base`),
    `adapter` trains LoRA and a head for the task's objective, `card` measures the result. Everything that can be checked
    in advance is checked first (`prepare`). `source` is the argument of `coterie train` that the model card names: a
    registered name or a file. Raises `TrainingError` if the task cannot be trained, and if training fails.
    """
    prepared = prepare(spec, base, adapter, stages)
    recipe = prepared.recipe
    if "base" in stages and recipe.base is not None:
        domain = load_domain(spec.data.source)
        train = [q for q in domain.queries if split_of(q) == "train"]
        log(f"base: {len(train)} training queries, {recipe.base.model_dump()}")
        pairs = [(domain.queries[q], domain.documents[d]) for q in train for d, g in domain.qrels[q].items() if g > 0]
        train_base(recipe.base, pairs, Path(base), log, progress)
    made = spec.model_copy(
        update={"reranker": spec.reranker.model_copy(update={"base": base, "adapter": str(adapter)})}
    )
    if prepared.training is not None:
        _train_adapter(made, prepared.training, recipe, adapter, device, log, progress)
    if prepared.card is not None:
        write_card(made, adapter, measure(made, prepared.card, log), source)
    discard_checkpoint(adapter)  # not earlier, so that a kill during the card's measurement does not undo the training


def _train_adapter(
    spec: RerankerTaskSpec,
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
    fewer = f" (training.dev_queries: {recipe.dev_queries})" if n_dev < recipe.dev_queries else ""
    log(
        f"{len(data.queries)} training queries, {len(data.documents)} documents, {n_dev} queries for early stopping{fewer}"
    )
    for note in data.notes:
        log(f"note: {note}")
    training.run(log, progress)
