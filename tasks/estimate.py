"""Estimate the size, memory and time of a reranker's task from configurations alone, as lines for people to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from coterie.tasks.memory import format_bytes, need_of
from coterie.tasks.rerankers.size import RerankerSize, describe
from coterie.tasks.task_check import check_site, with_one_count
from coterie.tasks.task_spec import RerankerTaskSpec


def estimate_reranker_task(
    spec: RerankerTaskSpec, query_counts: Mapping[str, int] | None, flops_per_second: Callable[[], float]
) -> list[tuple[str, str]]:
    """The label and value of each line; without `query_counts` the upper bounds of the specification are used.

    Raises a `TaskError` for a checkpoint that cannot be found, and for a layer or players that it lacks.
    """
    size = describe(spec.reranker)
    check_site(spec, size)
    counts = spec.data.most_queries() if query_counts is None else dict(query_counts)
    return [*_network(size, spec.reranker.template.max_length), *_cost(spec, size, counts, flops_per_second)]


def _network(size: RerankerSize, tokens: int) -> list[tuple[str, str]]:
    rows = [
        (
            "model",
            f"{size.model_type}, {size.layers} layers, d_model {size.d_model}, {size.players} neurons per layer, "
            f"{size.parameters:,} parameters",
        )
    ]
    if size.encoder_layers:
        decoder = f"{size.encoder_layers} to {size.layers - 1} the decoder's"
        rows.append(("stacks", f"layers 0 to {size.encoder_layers - 1} are the encoder's, {decoder}"))
    if size.window is not None and size.window < tokens:
        rows.append(("window", f"in some or all layers, a token attends only to the {size.window} tokens before it"))
    return rows


def _cost(
    spec: RerankerTaskSpec,
    size: RerankerSize,
    counts: Mapping[str, int | None],
    flops_per_second: Callable[[], float],
) -> list[tuple[str, str]]:
    need = need_of(with_one_count(spec, counts), size)
    later = (size.layers - 1 - spec.layer) / size.layers
    tokens = spec.reranker.template.max_length * spec.data.candidates * spec.data.queries.heldout
    rows = [("replay", f"later layers are computed {size.replay}")] if later else []
    rows.append(
        (
            "memory",
            f"at most {format_bytes(need.total)}: {format_bytes(need.weights)} of weights, {format_bytes(need.cache)} of cached "
            f"activations ({need.pairs} pairs), {format_bytes(need.replay)} to replay, "
            f"{format_bytes(need.affinities)} of affinities",
        )
    )
    rate = flops_per_second()
    rows.append(
        (
            "time",
            f"at most {2 * size.parameters * later * tokens / rate:.2g} s per ablation of the held-out queries at this "
            f"processor's {rate / 1e9:.0f} GFLOP/s; a method makes a few hundred",
        )
    )
    return rows
