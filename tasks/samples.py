"""Checks of a loaded reranker on two sample pairs: what should change no score changes none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from coterie.tasks.collections.types import Candidate
from coterie.tasks.errors import RerankerError

if TYPE_CHECKING:
    from coterie.tasks.reranker import Reranker

_WORDS = "which neurons of a network that ranks documents work together, and which of them does it need"
_PAIRS = [Candidate("", "", "neurons", "work", 0), Candidate("", "", _WORDS, " ".join([_WORDS] * 3), 0)]
_SHARE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}  # of the largest score


@torch.no_grad()
def sample_scores(reranker: Reranker, together: bool = False) -> Tensor:
    """The scores of a short and a long pair, each alone or both in one batch."""
    reranker.model.eval()
    inputs = reranker.inputs(_PAIRS)
    if together:
        return reranker.logits(inputs).double().cpu()
    return torch.cat([reranker.logits([one]) for one in inputs]).double().cpu()


def check_same(got: Tensor, expected: Tensor, what: str, where: str, dtype: torch.dtype) -> None:
    """Raise :class:`RerankerError` where scores differ by more than the rounding of ``dtype``; ``what`` was done to them."""
    if not (got.isfinite() & expected.isfinite()).all():
        raise RerankerError(
            f"{where}: scores are not finite in {dtype}; fix: a dtype with a larger range (bfloat16, float32)"
        )
    error, scale = float((got - expected).abs().max()), float(expected.abs().max())
    if error > _SHARE[dtype] * max(scale, 1e-2):
        raise RerankerError(
            f"{where}: expected equal scores when {what}, got {got.tolist()} instead of {expected.tolist()}; fix: a checkpoint "
            f"whose weights are not shared with what the adapter tunes, and whose attention does not depend on the batch"
        )
