"""What a task needs of memory, told before any work: an estimate from its specification and its checkpoint's configuration.

With P pairs of at most T tokens, n players and numbers of b bytes, a task holds

    weights      parameters x b                                        (and the kept MLPs before LoRA for ``base``)
    cache        P x T x (2 d_model + r n) x b                         r = 2 rows a player for ``base``, else 1;
                                                                       T = 1 where no layer follows (lens, last layer)
                                                                       and one token is pooled
    low rank     P x (T + 15) x 2 d_model x b                          where the last layer follows the site: keys, values
    replay       tokens at once x (6 d_model + 5 r n) x b              of a batch on its way into the cache, and after
    affinities   3 x n^2 x 4                                           a method's matrix over all pairs of players

and the parts are added up: an upper bound but for the allocator's own waste. Where it is more than there is, the error names
the settings that would make the task fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coterie.tasks.errors import DoesNotFitError
from coterie.tasks.rerankers.checkpoint import DTYPE_BYTES, RerankerSize

if TYPE_CHECKING:
    from coterie.tasks.task import TaskSpec

LANES = 16  # numbers of a vector of 512 bits, to a multiple of which the low-rank form fills up a pair's tokens
DEFAULT_TOKENS = 8192  # replayed at once: two to four arrays of tokens x d_model are alive
_MATRICES = 3  # of all pairs: an affinity, its transpose or a temporary of it, and what a method makes of it


@dataclass(frozen=True)
class Need:
    """Bytes by purpose, and the number of pairs that the cache is for."""

    weights: int
    cache: int
    replay: int
    affinities: int
    pairs: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.replay + self.affinities


def pairs_of(spec: TaskSpec) -> int:
    """The most query-document pairs of all splits, as far as the specification says."""
    return spec.data.most_pairs()


def layers_after(spec: TaskSpec, size: RerankerSize) -> int:
    """How many layers are replayed; a head that reads all tokens, or a decoder, counts as one more."""
    return (0 if spec.readout == "lens" else size.layers - 1 - spec.layer) + size.pools_all


def need_of(spec: TaskSpec, size: RerankerSize) -> Need:
    """What the task needs at most: every pair as long as the template allows."""
    number, pairs = DTYPE_BYTES[spec.reranker.dtype], pairs_of(spec)
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
    """Numbers kept of all pairs where so many layers are replayed; ``rows`` are the players', two each for ``base``."""
    tokens = tokens if later else 1
    low_rank = 2 * d_model * (tokens + LANES - 1) if later == 1 else 0
    return pairs * (tokens * (2 * d_model + rows) + low_rank)


def replay_of(d_model: int, rows: int) -> int:
    """Numbers alive while the cache is filled and while masks are replayed."""
    return DEFAULT_TOKENS * (6 * d_model + 5 * rows)  # gate, up, activation, product, the copy in the cache's order


def check_fits(spec: TaskSpec, size: RerankerSize, memory: int, where: str) -> None:
    """Raises :class:`DoesNotFitError` where the task needs more than ``memory`` bytes of ``where`` (cpu, cuda, a limit)."""
    need = need_of(spec, size)
    if need.total <= memory:
        return
    raise DoesNotFitError(
        f"{spec.name}: expected a task that fits into the {gigabytes(memory)} of {where}, got one that needs "
        f"{gigabytes(need.total)}: {gigabytes(need.weights)} of weights, {gigabytes(need.cache)} of cached activations "
        f"({need.pairs} pairs of up to {spec.reranker.template.max_length} tokens), {gigabytes(need.replay)} to replay, "
        f"{gigabytes(need.affinities)} of affinities; fix: {'; or '.join(_fixes(spec, size, need, memory))}"
    )


def _fixes(spec: TaskSpec, size: RerankerSize, need: Need, memory: int) -> list[str]:
    """Settings with each of which alone it would fit, and what always helps."""
    share, data, template = (memory - need.total + need.cache) / need.cache, spec.data, spec.reranker.template
    fixes = []
    if (fewer := math.floor(share * data.candidates)) >= 2:
        fixes.append(f"data.candidates: {fewer} (now {data.candidates})")
    counts = {name: math.floor(share * count) for name, count in data.most_queries().items() if count is not None}
    if min(counts.values()) >= 2:
        fixes.append("data.queries: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    filled = LANES - 1  # which the low-rank form may add to every pair
    shorter = math.floor(share * (template.max_length + filled)) - filled
    if layers_after(spec, size) and shorter >= 8:
        fixes.append(f"reranker.template.max_length: {shorter} (now {template.max_length})")
    if DTYPE_BYTES[spec.reranker.dtype] > 2 and (need.total + need.affinities) / 2 <= memory:
        fixes.append(f"a reranker.dtype of half the size (now {spec.reranker.dtype})")
    return [*fixes, f"a device or machine with {gigabytes(need.total)}, or reranker.device_map: auto over several GPUs"]


def gigabytes(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
