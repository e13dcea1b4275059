"""Checks of a loaded reranker on two sample pairs: merging an adapter and batching must not change any score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coterie.tasks.collections.types import Candidate
from coterie.tasks.errors import RerankerError

if TYPE_CHECKING:
    from coterie.tasks.rerankers.reranker import Reranker

_WORDS = "which neurons of a network that ranks documents work together, and which of them does it need"
_PAIRS = [Candidate("", "", "neurons", "work", 0), Candidate("", "", _WORDS, " ".join([_WORDS] * 3), 0)]


def rounding(scores: Tensor, head: Any, dtype: torch.dtype) -> float:
    """The most by which equal scores may differ in this precision.

    It is a share of the largest score plus a share of the norm of the head's weights. The latter covers scores near zero
    that are sums of larger terms, because the head's input is normed.
    """
    exact = dtype in (torch.float32, torch.float64)
    share, steps = (1e-4, 1000 * torch.finfo(torch.float32).eps) if exact else (0.1, 4 * torch.finfo(dtype).eps)
    return share * float(scores.abs().max()) + steps * float(head.weight.detach().double().norm())


@torch.no_grad()
def sample_scores(reranker: Reranker, together: bool = False) -> Tensor:
    """The scores [2] of a short and a long pair, one by one or in one batch."""
    reranker.model.eval()
    inputs = reranker.inputs(_PAIRS)
    if together:
        return reranker.logits(inputs).double().cpu()
    return torch.cat([reranker.logits([one]) for one in inputs]).double().cpu()


def check_same(got: Tensor, expected: Tensor, what: str, where: str, reranker: Reranker) -> None:
    """Raise `RerankerError` if scores differ by more than rounding; `what` says how `got` was computed."""
    dtype = reranker.model.dtype
    if not (got.isfinite() & expected.isfinite()).all():
        raise RerankerError(
            f"{where}: scores are not finite in {dtype}; fix: a dtype with a larger range (bfloat16, float32)"
        )
    if float((got - expected).abs().max()) > rounding(expected, reranker.tail.modules[-1], dtype):
        raise RerankerError(
            f"{where}: expected equal scores when {what}, got {got.tolist()} instead of {expected.tolist()}; fix: use a "
            f"checkpoint whose weights are not shared with what the adapter tunes, and whose attention does not depend on the "
            f"batch"
        )
