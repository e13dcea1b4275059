"""What is wrong with a task for its reranker, seen from the reranker's configuration alone: before any weight is read."""

from __future__ import annotations

from coterie.tasks.collections.data_spec import FEWEST
from coterie.tasks.errors import TaskFileError
from coterie.tasks.rerankers.checkpoint import RerankerSize
from coterie.tasks.task import TaskSpec


def check_task(spec: TaskSpec, size: RerankerSize) -> None:
    """Raises :class:`TaskFileError`, with file, line and field, for a layer or for players that the reranker does not have."""
    _check_layer(spec, size, spec.layer, "layer")
    for number, layer in enumerate(spec.layers):
        _check_layer(spec, size, layer, "layers", number)
    if spec.intervention == "base" and spec.reranker.adapter is None:
        raise TaskFileError(
            f"{spec.origin.at('intervention')}: expected zero or mean for a reranker without an adapter, got 'base', which takes "
            f"its neurons back to what they were before one; fix: intervention: zero"
        )
    kind, _, number_of = spec.players.partition(":")
    one = kind == "expert" and number_of.isdecimal() and int(number_of) < size.experts
    if one or spec.players == ("experts" if size.experts else "neurons"):
        return
    expected = f"'experts' or 'expert:0' to 'expert:{size.experts - 1}'" if size.experts else "'neurons'"
    raise TaskFileError(
        f"{spec.origin.at('players')}: expected {expected} for this reranker ({size.model_type}), got {spec.players!r}; "
        f"fix: players: {'experts' if size.experts else 'neurons'}"
    )


def _check_layer(spec: TaskSpec, size: RerankerSize, layer: int, *field: str | int) -> None:
    if layer >= size.layers:
        raise TaskFileError(
            f"{spec.origin.at(*field)}: expected 0 to {size.layers - 1} (the reranker, {size.model_type}, has {size.layers} "
            f"layers), got {layer}; fix: {field[0]}: {size.layers - 1}"
        )


def with_one_count(spec: TaskSpec, queries: dict[str, int | None]) -> TaskSpec:
    """The task with one number of transfer queries for all domains that makes as many pairs, or a few more.

    ``queries`` are those of each split, as ``DataSpec.most_queries`` says; where it does not
    say it is the fewest that there may be.
    """
    counts = [queries[domain.name] or FEWEST for domain in spec.data.transfer]
    if not counts:
        return spec
    mean = max(FEWEST, -(-sum(counts) // len(counts)))
    counted = spec.data.queries.model_copy(update={"transfer": mean})
    return spec.model_copy(update={"data": spec.data.model_copy(update={"queries": counted})})
