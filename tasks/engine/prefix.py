"""Run the network up to the site once, and keep what every replay needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.after_site import AfterSite
from coterie.tasks.engine.batch import Batch, Part
from coterie.tasks.engine.layer_arguments import arguments_of
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.engine.threads import tokens_per_thread
from coterie.tasks.engine.tokens import Tokens, in_batches, shared
from coterie.tasks.errors import EngineError, RerankerError
from coterie.tasks.rerankers.encoder import Inputs
from coterie.tasks.rerankers.reranker import Reranker
from coterie.tasks.rerankers.samples import rounding
from coterie.tasks.rerankers.site import Site


@dataclass(frozen=True)
class Prefix:
    """The cached run of the network up to the site, and what comes after it."""

    site: Site
    """The players and their write vectors."""

    after: AfterSite
    """The rest of the network."""

    batches: list[Batch]
    """All pairs, in batches."""

    scores: Float[Tensor, " pairs"]
    """The model's own scores with nothing ablated, on the CPU."""

    mean_activations: Float[Tensor, " own_rows"]
    """The mean activation of each neuron over the real tokens, or the means that were passed in."""

    offset: Float[Tensor, " own_rows"]
    """What to add to z to get the activations: their means for the intervention `mean`, else 0."""


def run_prefix(reranker: Reranker, pairs: Sequence[Candidate], spec: SiteSpec, site: Site, tokens: int) -> Prefix:
    """Run the network up to the site over all pairs, in batches of at most half of `tokens` padded tokens.

    Raises `EngineError` if replaying the later layers does not reproduce the model's own scores, and `RerankerError` if
    those are not finite.
    """
    after, run = AfterSite(reranker, site, spec), reranker.inputs(pairs)
    own = site.w[: site.own_rows]
    scores = torch.empty(len(pairs), dtype=own.dtype)
    batches = []
    for batch in in_batches([one.tokens for one in run], tokens, after.shares_prefixes):
        rows = [row for row, _ in batch]
        found, kept = _run_batch(reranker, site, after, [run[row] for row in rows], rows, tokens)
        scores[rows] = found.to(scores).cpu()
        batches.append(kept)
    mean = _mean(batches, own) if spec.mean_activations is None else spec.mean_activations.to(own)
    offset = mean if spec.intervention == "mean" else torch.zeros_like(own[:, 0])
    for kept in batches:
        kept.z[: site.own_rows] -= offset[:, None]
    return Prefix(site, after, batches, scores, mean, offset)


@torch.no_grad()
def _run_batch(
    reranker: Reranker, site: Site, after: AfterSite, inputs: list[Inputs], rows: list[int], tokens: int
) -> tuple[Tensor, Batch]:
    """Run one forward pass over some pairs; return the model's scores, and what the replays need."""
    with site.recording() as seen, arguments_of(after.layers) as arguments:
        scores = reranker.logits(inputs)
    if not scores.isfinite().all():
        raise RerankerError(
            f"scores: expected finite numbers, got NaN or infinity in {scores.dtype}; "
            f"fix: a dtype with a larger range (bfloat16, float32)"
        )
    (residual, skip), z = site.stream(seen), site.activations(seen)
    lengths = torch.tensor(after.lengths([one.ids for one in inputs]), device=residual.device)
    last = after.pooled(lengths)
    if not after.mixes_tokens:  # only the pooled token reaches the output
        pick = (torch.arange(len(rows), device=residual.device), last)
        residual, z = residual[pick][:, None], z[pick][:, None]
        skip = None if skip is None else skip[pick][:, None]
        last, lengths = torch.zeros_like(last), torch.ones_like(lengths)
    residual = residual.contiguous()
    if after.replays_distinct_tokens(arguments):
        most = tokens_per_thread(tokens, residual.device)
        parts = [Part.of(residual, *run) for run in shared([one.tokens for one in inputs], most)]
    else:
        parts = [Part.of(residual, slice(0, len(rows)), Tokens.every(last, residual.shape[1]))]
    batch = Batch(
        rows=torch.tensor(rows),
        last=last,
        lengths=lengths,
        residual=residual,
        skip=skip,
        z=z.flatten(0, 1).T.contiguous(),
        layer_arguments=arguments,
        parts=parts,
    )
    if after.gives_scores:
        _check_replay(reranker, after, batch, scores)
    return scores, batch


def _check_replay(reranker: Reranker, after: AfterSite, batch: Batch, scores: Tensor) -> None:
    copies = 1 if after.rotary else 2  # each copy must get its own pairs' arguments
    replayed = torch.cat(
        [after.outputs(part.residual.repeat(copies, 1, 1), batch, part.tokens) for part in batch.parts], dim=1
    )
    error, scale = (replayed - scores).abs().max().item(), scores.abs().max().item()
    if not error <= rounding(scores, after.tail.modules[-1], batch.z.dtype):
        raise EngineError(
            f"replaying the layers after the site: expected the model's own scores, got scores that differ by {error:.1e} "
            f"(largest {scale:.1e}); fix: check the row of {reranker.model.config.model_type!r} "
            f"in tasks/rerankers/architectures.py"
        )


def _mean(batches: list[Batch], own: Tensor) -> Float[Tensor, " own_rows"]:
    """The mean activation of each neuron over the real tokens, in the dtype and on the device of its write vector."""
    total = sum(batch.activations(len(own)).double().sum(0) for batch in batches)
    return (torch.as_tensor(total) / sum(int(batch.lengths.sum()) for batch in batches)).to(own)
