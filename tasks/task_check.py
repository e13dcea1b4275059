"""Check that a task fits its reranker, from the reranker's configuration alone, before any weights are read."""

from __future__ import annotations

from collections.abc import Mapping

from coterie.tasks.collections.data_spec import MIN_QUERIES
from coterie.tasks.errors import TaskFileError
from coterie.tasks.memory import check_fits
from coterie.tasks.rerankers.size import RerankerSize, describe
from coterie.tasks.task_spec import RerankerTaskSpec


def check_reranker_task(
    spec: RerankerTaskSpec, memory: int, where: str, query_counts: Mapping[str, int] | None = None
) -> None:
    """Refuse a layer or players that the reranker lacks, and a task that needs more than `memory` bytes of `where`.

    `query_counts` are the numbers of queries per split, known once the texts have been read; until then the upper bounds of
    the specification are used. Raises `TaskFileError` or `DoesNotFitError`.
    """
    size = describe(spec.reranker)
    check_site(spec, size)
    counts = spec.data.most_queries() if query_counts is None else dict(query_counts)
    check_fits(with_one_count(spec, counts), size, memory, where)


def check_site(spec: RerankerTaskSpec, size: RerankerSize) -> None:
    """Refuse a layer, players or an intervention that the reranker lacks. Raises `TaskFileError` with file, line and field."""
    _check_layer(spec, size, spec.layer, "layer")
    for i, layer in enumerate(spec.layers):
        _check_layer(spec, size, layer, "layers", i)
    if spec.intervention == "base" and spec.reranker.adapter is None:
        raise TaskFileError(
            f"{spec.origin.at('intervention')}: expected zero or mean for a reranker without an adapter, got 'base', which "
            f"restores the neurons from before the adapter; fix: intervention: zero"
        )
    kind, _, number = spec.players.partition(":")
    is_expert = kind == "expert" and number.isdecimal() and int(number) < size.experts
    if is_expert or spec.players == ("experts" if size.experts else "neurons"):
        return
    expected = f"'experts' or 'expert:0' to 'expert:{size.experts - 1}'" if size.experts else "'neurons'"
    raise TaskFileError(
        f"{spec.origin.at('players')}: expected {expected} for this reranker ({size.model_type}), got {spec.players!r}; "
        f"fix: players: {'experts' if size.experts else 'neurons'}"
    )


def _check_layer(spec: RerankerTaskSpec, size: RerankerSize, layer: int, *field: str | int) -> None:
    if layer >= size.layers:
        raise TaskFileError(
            f"{spec.origin.at(*field)}: expected 0 to {size.layers - 1} (the reranker, a {size.model_type}, has {size.layers} "
            f"layers), got {layer}; fix: {field[0]}: {size.layers - 1}"
        )


def with_one_count(spec: RerankerTaskSpec, queries: Mapping[str, int | None]) -> RerankerTaskSpec:
    """The task with one number of transfer queries for all domains, for at least as many pairs (and few more).

    `queries` are the numbers per split, as `DataSpec.most_queries` returns them; an unknown number counts as the fewest
    possible.
    """
    counts = [queries[domain.name] or MIN_QUERIES for domain in spec.data.transfer]
    if not counts:
        return spec
    mean = max(MIN_QUERIES, -(-sum(counts) // len(counts)))
    counted = spec.data.queries.model_copy(update={"transfer": mean})
    return spec.model_copy(update={"data": spec.data.model_copy(update={"queries": counted})})
