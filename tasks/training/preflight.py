"""Check everything possible before training, so that no hours are lost to a mistake that was visible from the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from coterie.tasks.collections.loading import load_domain
from coterie.tasks.errors import DataError, RecipeError, TrainingError
from coterie.tasks.reranker_task import read_data
from coterie.tasks.rerankers.checkpoint import ADAPTER_WEIGHTS, check_reachable, one_line_errors
from coterie.tasks.rerankers.configuration import check_length, model_class
from coterie.tasks.rerankers.spec import RerankerSpec
from coterie.tasks.task_spec import RerankerTaskSpec
from coterie.tasks.training.base import has_base
from coterie.tasks.training.card import CardData, card_data, with_card_queries
from coterie.tasks.training.data import TrainingData, training_data
from coterie.tasks.training.spec import TrainingSpec


@dataclass(frozen=True)
class Prepared:
    """What the stages work on."""

    recipe: TrainingSpec
    """The task's `training` section."""

    training: TrainingData | None
    """Data of the stage `adapter`; None if it does not run."""

    card: CardData | None
    """Data of the stage `card`; None if it does not run."""


def prepare(spec: RerankerTaskSpec, base: str, adapter: Path, stages: Sequence[str]) -> Prepared:
    """Check the recipe, the folders, the reranker and every split, and read the data of the stages to run.

    Raises `RecipeError` for a field of the task file that training cannot follow, `TrainingError` for a stage that lacks the
    result of an earlier one, `RerankerError` for a base that does not exist, and `DataError` for broken collections.
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
        domain = load_domain(spec.data.source).truncated(spec.data.document_words)
        training = training_data(domain, spec.data, spec.objective, recipe)
    return Prepared(recipe, training, card)


def _recipe(spec: RerankerTaskSpec) -> TrainingSpec:
    recipe = spec.training
    if recipe is None:
        raise TrainingError(f"{spec.name}: expected a 'training' section in the task file; fix: add 'training: {{}}'")
    if not spec.data.source_trained:
        raise RecipeError(
            "data.source_trained", "expected true: otherwise no query of the source is reserved for training", False
        )
    if spec.reranker.readout.kind != "logit":
        raise RecipeError(
            "reranker.readout", "expected kind logit: training makes a head with one logit", spec.reranker.readout.kind
        )
    if spec.objective == "relevance" and recipe.hard_negatives + recipe.random_negatives == 0:
        raise RecipeError(
            "training.hard_negatives",
            "expected at least 1 here or in random_negatives: a list of one document has nothing to rank",
            recipe.hard_negatives,
        )
    return recipe


def check_writable(folder: Path, field: str) -> None:
    """Create the folder and a temporary file in it. Raises `RecipeError` if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RecipeError(field, f"expected a folder that can be written ({error.strerror})", str(folder)) from None


def _check_own_folder(base: str, adapter: Path) -> None:
    """Raise `RecipeError` if the adapter's folder holds the base, or a README.md that training did not write."""
    found = {path.name for path in adapter.iterdir()} if adapter.is_dir() else set()
    if "config.json" in found or (Path(base).is_dir() and adapter.exists() and adapter.samefile(base)):
        raise RecipeError("reranker.adapter", "expected a folder without a base (fix: adapter: adapter)", str(adapter))
    if "README.md" in found and not found & {"card.json", "train.log"}:
        raise RecipeError(
            "reranker.adapter",
            "expected a folder without your own README.md, which the model card would replace",
            str(adapter),
        )


def _check_earlier_stages(recipe: TrainingSpec, base: str, adapter: Path, stages: Sequence[str]) -> None:
    if recipe.base is not None and "base" not in stages and not has_base(Path(base)):
        raise TrainingError(f"{base}: expected a base, got none yet; fix: run --stage base first, or leave out --stage")
    if "adapter" not in stages and not (adapter / ADAPTER_WEIGHTS).is_file():
        raise TrainingError(
            f"{adapter}: expected a trained adapter to measure, got none yet; fix: run --stage adapter first, or leave out "
            f"--stage"
        )


def _check_layer(spec: RerankerTaskSpec, recipe: TrainingSpec, base: str) -> None:
    """Check that the base's configuration is available and has the task's layer."""
    if recipe.base is not None and not has_base(Path(base)):
        layers = recipe.base.layers
    else:
        layers = _layers(spec.reranker.model_copy(update={"base": base, "adapter": "not trained yet"}))
    if spec.layer >= layers:
        raise RecipeError("layer", f"expected at most {layers - 1}, the last of the base's {layers} layers", spec.layer)


def _layers(reranker: RerankerSpec) -> int:
    """The base's number of layers, from its configuration; the adapter will bring the head."""
    check_reachable(reranker.base, reranker.revision)
    with one_line_errors(reranker.base):
        config = model_class(reranker)[1]
    check_length(reranker, config)
    return int(config.num_hidden_layers)


def _card(spec: RerankerTaskSpec) -> CardData:
    wanted = spec.training.card_queries if spec.training else None
    try:
        return card_data(spec)
    except DataError as error:
        _check_queries(spec)  # a shortage of the task's own queries is reported first
        raise _too_few(error, "training.card_queries", "the model card", wanted) from None


def _check_queries(spec: RerankerTaskSpec) -> None:
    try:
        read_data(spec)
    except DataError as error:
        got = spec.data.queries.model_dump(mode="json")
        raise _too_few(error, "data.queries", "the task", got) from None


def _too_few(error: DataError, field: str, what: str, got: object) -> Exception:
    """A shortage of queries as an error of a field of the task file; other errors name their own file."""
    prefix = "data.queries: "
    if not str(error).startswith(prefix):
        return error
    return RecipeError(field, f"expected enough queries for {what} ({str(error).removeprefix(prefix)})", got)


def _covers(card: RerankerTaskSpec, own: RerankerTaskSpec) -> bool:
    """Whether the card needs at least as many queries as the task in every split, so that reading its data checks both."""
    pairs = [(getattr(card.data.queries, s), getattr(own.data.queries, s)) for s in ("heldout", "transfer")]
    return all(a == b or (isinstance(a, int) and isinstance(b, int) and a >= b) for a, b in pairs)
