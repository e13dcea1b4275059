"""The engine's share of the machine's GEMM rate, at the shape of a 7B layer.

Random weights; the tokenizer and the texts are those of pydoc-llama/relevance.
"""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from coterie.benchmark.perf.measuring import Shape, least_seconds, reshaped
from coterie.benchmark.perf.row import Row
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.registry import get_reranker_spec
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.reranker_task import plan_reranker_task
from coterie.tasks.rerankers.reranker import load_reranker

SHAPE = Shape(layers=3, width=4096, neurons=14_336, heads=32, kv_heads=8)  # layers of Mistral 7B
_PAIRS, _MASKS = 8, 4
_SHARE = 0.6  # the target


@torch.no_grad()
def rows() -> list[Row]:
    """One row: one layer replayed whole, the last one only at the last token, with masks of about 100 neurons."""
    spec = get_reranker_spec("pydoc-llama/relevance")
    pairs = plan_reranker_task(spec).pairs["heldout"][:_PAIRS]
    reranker = reshaped(load_reranker(spec.reranker), SHAPE)
    game = RerankerGame(reranker, pairs, SiteSpec(0))
    masks = torch.rand(_MASKS, game.n_players, generator=torch.Generator().manual_seed(0)) < 0.007
    with FlopCounterMode(display=False) as counter:
        game.ablate(masks[:1])
    flops = counter.get_total_flops() * _MASKS
    seconds = least_seconds(lambda: game.ablate(masks), 3)
    tokens = sum(len(ids) for ids in reranker.encode(pairs)) * _MASKS
    left, right = torch.randn(tokens, SHAPE.width), torch.randn(SHAPE.width, SHAPE.neurons)
    rate = 2 * tokens * SHAPE.width * SHAPE.neurons / least_seconds(lambda: left @ right, 4)
    share = flops / seconds / rate
    return [
        Row(
            work=f"replay of a 7B-like layer, {_PAIRS} pairs, {tokens // _MASKS} tokens, {_MASKS} coalitions",
            ours=f"{flops / seconds / 1e9:.0f} GFLOP/s, {seconds / _MASKS:.2f} s per coalition",
            against=f"GEMM {rate / 1e9:.0f} GFLOP/s",
            figure=f"{100 * share:.0f}%",
            target=f">= {100 * _SHARE:.0f}%",
            met=share >= _SHARE,
            values={"flops": flops, "seconds": seconds, "gemm_flops_per_second": rate, "share": share},
        )
    ]
