"""What is checked before any training, so that hours are not lost to what could have been known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from coterie.tasks.collections.loading import load_domain
from coterie.tasks.errors import DataError, RecipeError, TrainingError
from coterie.tasks.rerankers.checkpoint import check_length, check_reachable, model_class, one_line_errors
from coterie.tasks.rerankers.spec import RerankerSpec
from coterie.tasks.task import TaskSpec, cut, read_data
from coterie.tasks.training.base import has_base
from coterie.tasks.training.card import CardData, card_data, with_card_queries
from coterie.tasks.training.data import TrainingData, training_data
from coterie.tasks.training.spec import TrainingSpec

ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Prepared:
    """What the stages work on; None where the stage is not run."""

    recipe: TrainingSpec
    training: TrainingData | None
    card: CardData | None


def prepare(spec: TaskSpec, base: str, adapter: Path, stages: Sequence[str]) -> Prepared:
    """Check the recipe, the folders, the reranker and every split, and read the data of the stages to run.

    Raises :class:`RecipeError` for a field of the task file that cannot be done, :class:`TrainingError` for a stage that
    lacks what an earlier one makes, ``RerankerError`` for a base that is not there, ``DataError`` for broken collections.
    """
    recipe = _recipe(spec)
    _check_own_folder(base, adapter)
    if "base" in stages and recipe.base is not None:
        check_writable(Path(base), "reranker.base")
    if "adapter" in stages or "card" in stages:
        check_writable(adapter, "reranker.adapter")
        _check_earlier_stages(recipe, base, adapter, stages)
        _check_layer(spec, recipe, base)
    card = _card(spec) if "card" in stages else None
    if card is None or not _covers(with_card_queries(spec), spec):
        _check_queries(spec)
    training = None
    if "adapter" in stages:
        domain = cut(load_domain(spec.data.source), spec.data.document_words)
        training = training_data(domain, spec.data, spec.objective, recipe)
    return Prepared(recipe, training, card)


def _recipe(spec: TaskSpec) -> TrainingSpec:
    recipe = spec.training
    if recipe is None:
        raise TrainingError(f"{spec.name}: expected a 'training' section in the task file; fix: add 'training: {{}}'")
    if not spec.data.source_trained:
        raise RecipeError(
            "data.source_trained", "expected true: otherwise no query of the source is kept for training", False
        )
    if spec.reranker.readout.kind != "logit":
        raise RecipeError(
            "reranker.readout", "expected kind logit: training makes a head of one logit", spec.reranker.readout.kind
        )
    if spec.objective == "relevance" and recipe.hard_negatives + recipe.random_negatives == 0:
        raise RecipeError(
            "training.hard_negatives",
            "expected at least 1 here or in random_negatives: a list of one document has nothing to rank",
            recipe.hard_negatives,
        )
    return recipe


def check_writable(folder: Path, field: str) -> None:
    """Make a folder and a file in it. Raises :class:`RecipeError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RecipeError(field, f"expected a folder that can be written ({error.strerror})", str(folder)) from None


_WRITTEN = {"adapter_config.json", ADAPTER_WEIGHTS, "checkpoint.pt", "card.json", "train.log", "task.yaml"}


def _check_own_folder(base: str, adapter: Path) -> None:
    """Raise :class:`RecipeError` for an adapter's folder that holds the base, or files that training did not write."""
    there = {path.name for path in adapter.iterdir()} if adapter.is_dir() else set()
    if "config.json" in there or (Path(base).is_dir() and adapter.exists() and adapter.samefile(base)):
        raise RecipeError("reranker.adapter", "expected a folder of its own (fix: adapter: adapter)", str(adapter))
    if "README.md" in there and not there & {"card.json", "train.log"}:
        raise RecipeError(
            "reranker.adapter",
            "expected a folder without a README.md of yours, which the model card would replace",
            str(adapter),
        )


def _check_earlier_stages(recipe: TrainingSpec, base: str, adapter: Path, stages: Sequence[str]) -> None:
    if recipe.base is not None and "base" not in stages and not has_base(Path(base)):
        raise TrainingError(f"{base}: expected a base, got none yet; fix: --stage base first, or no --stage at all")
    if "adapter" not in stages and not (adapter / ADAPTER_WEIGHTS).is_file():
        raise TrainingError(
            f"{adapter}: expected a trained adapter to measure, got none yet; fix: --stage adapter first, or no --stage at all"
        )


def _check_layer(spec: TaskSpec, recipe: TrainingSpec, base: str) -> None:
    """The base's configuration can be had, and has the task's layer."""
    if recipe.base is not None and not has_base(Path(base)):
        layers = recipe.base.layers
    else:
        layers = _layers(spec.reranker.model_copy(update={"base": base, "adapter": "the one that is trained"}))
    if spec.layer >= layers:
        raise RecipeError("layer", f"expected at most {layers - 1}, the last of the base's {layers} layers", spec.layer)


def _layers(reranker: RerankerSpec) -> int:
    """How many layers the base has, from its configuration alone; the adapter will bring the head."""
    check_reachable(reranker.base, reranker.revision)
    with one_line_errors(reranker.base):
        config = model_class(reranker)[1]
    check_length(reranker, config)
    return int(config.num_hidden_layers)


def _card(spec: TaskSpec) -> CardData:
    wanted = spec.training.card_queries if spec.training else None
    try:
        return card_data(spec)
    except DataError as error:
        _check_queries(spec)  # the task's own shortage is the first to know of
        raise _too_few(
            error, "training.card_queries", "the queries that the model card is measured on", wanted
        ) from None


def _check_queries(spec: TaskSpec) -> None:
    try:
        read_data(spec)
    except DataError as error:
        got = spec.data.queries.model_dump(mode="json")
        raise _too_few(error, "data.queries", "the task's own queries", got) from None


def _too_few(error: DataError, field: str, what: str, got: object) -> Exception:
    """A shortage of queries as a field of the task file; other errors name their own file."""
    prefix = "data.queries: "
    if not str(error).startswith(prefix):
        return error
    return RecipeError(field, f"expected {what} to be there ({str(error).removeprefix(prefix)})", got)


def _covers(card: TaskSpec, own: TaskSpec) -> bool:
    """Whether the card's queries are at least the task's own in every split, so that one reading checks both."""
    pairs = [(getattr(card.data.queries, s), getattr(own.data.queries, s)) for s in ("heldout", "transfer")]
    return all(a == b or (isinstance(a, int) and isinstance(b, int) and a >= b) for a, b in pairs)
