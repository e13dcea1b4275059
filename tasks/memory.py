"""An estimate of a task's memory before any work, from its specification and its checkpoint's configuration.

With P pairs of at most T tokens, n players and numbers of b bytes, a task holds

    weights      parameters x b                              and the MLPs before LoRA for `base`
    cache        P x T x (2 d_model + r n) x b               r = 2 rows per player for `base`, else 1; T = 1 if no layer
                                                             follows (lens, last layer) and one token is pooled
    low rank     P x (T + 15) x 2 d_model x b                keys and values, if the last layer follows the site
    replay       replayed tokens x (6 d_model + 5 r n) x b   while the cache is filled and while masks are replayed
    affinities   3 x n^2 x 4                                 a method's matrices over all pairs of players

The sum is an upper bound, apart from the allocator's own overhead. If a task needs more memory than is available, the error
names the settings that would make it fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ByteSize

from coterie.tasks.engine.layout import DEFAULT_TOKENS, LANES
from coterie.tasks.errors import DoesNotFitError
from coterie.tasks.rerankers.size import RerankerSize
from coterie.tasks.rerankers.spec import DTYPE_BYTES

if TYPE_CHECKING:
    from coterie.tasks.task_spec import RerankerTaskSpec

_MATRICES = 3  # over all pairs of players: an affinity, its transpose or a temporary, and what a method derives from it


@dataclass(frozen=True)
class Need:
    """Bytes by purpose."""

    weights: int
    """Parameters, with the MLPs before LoRA for intervention `base`."""

    cache: int
    """The cached run of the network up to the site, for all pairs."""

    replay: int
    """Temporary arrays while the cache is filled and while masks are replayed."""

    affinities: int
    """A method's matrices over all pairs of players."""

    pairs: int
    """Number of query-document pairs in the cache; not bytes."""

    @property
    def total(self) -> int:
        """All bytes together."""
        return self.weights + self.cache + self.replay + self.affinities


def layers_after(spec: RerankerTaskSpec, size: RerankerSize) -> int:
    """The number of replayed layers; a head that reads all tokens, or a decoder, counts as one more."""
    return (0 if spec.readout == "lens" else size.layers - 1 - spec.layer) + size.pools_all


def need_of(spec: RerankerTaskSpec, size: RerankerSize) -> Need:
    """The most that the task can need, with every pair as long as the template allows."""
    number, pairs = DTYPE_BYTES[spec.reranker.dtype], spec.data.most_pairs()
    rows = size.players * (2 if spec.intervention == "base" else 1)
    kept = 3 * size.d_model * size.players * number if spec.intervention == "base" else 0  # gate, up and down
    tokens = spec.reranker.template.max_length
    return Need(
        weights=size.bytes + kept,
        cache=cache_of(pairs, tokens, size.d_model, rows, layers_after(spec, size)) * number,
        replay=replay_of(size.d_model, rows) * number,
        affinities=_MATRICES * 4 * size.players**2,
        pairs=pairs,
    )


def cache_of(pairs: int, tokens: int, d_model: int, rows: int, later: int) -> int:
    """Numbers in the cache of all pairs if `later` layers are replayed; `rows` is one per player, two for `base`."""
    tokens = tokens if later else 1
    low_rank = 2 * d_model * (tokens + LANES - 1) if later == 1 else 0
    return pairs * (tokens * (2 * d_model + rows) + low_rank)


def replay_of(d_model: int, rows: int) -> int:
    """Numbers in temporary arrays while the cache is filled and while masks are replayed."""
    return DEFAULT_TOKENS * (6 * d_model + 5 * rows)  # gate, up, activation, product, the copy in the cache's order


def check_fits(spec: RerankerTaskSpec, size: RerankerSize, memory: int, where: str) -> None:
    """Raise `DoesNotFitError` if the task needs more than `memory` bytes of `where` (cpu, cuda, a limit)."""
    need = need_of(spec, size)
    if need.total <= memory:
        return
    raise DoesNotFitError(
        f"{spec.name}: expected a task that fits into the {format_bytes(memory)} of {where}, got one that needs "
        f"{format_bytes(need.total)}: {format_bytes(need.weights)} of weights, {format_bytes(need.cache)} of cached activations "
        f"({need.pairs} pairs of up to {spec.reranker.template.max_length} tokens), {format_bytes(need.replay)} to replay, "
        f"{format_bytes(need.affinities)} of affinities; fix: {'; or '.join(_fixes(spec, size, need, memory))}"
    )


def _fixes(spec: RerankerTaskSpec, size: RerankerSize, need: Need, memory: int) -> list[str]:
    """Settings each of which makes the task fit without the others, and the larger machine that always does."""
    share, data, template = (memory - need.total + need.cache) / need.cache, spec.data, spec.reranker.template
    fixes = []
    if (fewer := math.floor(share * data.candidates)) >= 2:
        fixes.append(f"data.candidates: {fewer} (now {data.candidates})")
    counts = {name: math.floor(share * count) for name, count in data.most_queries().items() if count is not None}
    if min(counts.values()) >= 2:
        fixes.append("data.queries: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    padding = LANES - 1  # tokens that the low-rank form may add to every pair
    shorter = math.floor(share * (template.max_length + padding)) - padding
    if layers_after(spec, size) and shorter >= 8:
        fixes.append(f"reranker.template.max_length: {shorter} (now {template.max_length})")
    if DTYPE_BYTES[spec.reranker.dtype] > 2 and (need.total + need.affinities) / 2 <= memory:
        fixes.append(f"a reranker.dtype of half the size (now {spec.reranker.dtype})")
    return [
        *fixes,
        f"a device or machine with {format_bytes(need.total)}, or reranker.device_map: auto over several GPUs",
    ]


def format_bytes(size: int) -> str:
    """A size for people, such as `2.0 GB`."""
    return ByteSize(size).human_readable(decimal=True, separator=" ")
