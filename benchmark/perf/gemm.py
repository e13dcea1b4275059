"""Share of the machine's GEMM rate that the engine reaches at the layer shape of a 7B reranker (random weights)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification, LlamaConfig

from coterie.benchmark.perf.row import Row, reranker_task
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from coterie.tasks.task import plan_task

_PAIRS, _MASKS = 8, 4


def shaped(reranker: Reranker, layers: int, hidden: int, players: int, heads: int, kv_heads: int) -> Reranker:
    """The same tokenizer with a Llama of this shape and random weights."""
    config = LlamaConfig(
        vocab_size=len(reranker.tokenizer),
        hidden_size=hidden,
        intermediate_size=players,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        num_labels=1,
        pad_token_id=reranker.tokenizer.pad_token_id or 0,
    )
    return replace(reranker, model=AutoModelForSequenceClassification.from_config(config).eval(), base_mlp={})


def best_seconds(work: Callable[[], object], times: int = 3) -> float:
    """The shortest of several runs, after one that warms up."""
    work()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


@torch.no_grad()
def rows() -> list[Row]:
    """A layer of 4,096 x 14,336 is replayed whole, another at the last token; masks of about 100 neurons."""
    spec = reranker_task("pydoc-llama/relevance")
    reranker = shaped(load_reranker(spec.reranker), 3, 4096, 14_336, 32, 8)
    game = RerankerGame(reranker, plan_task(spec).pairs["heldout"][:_PAIRS], 0)
    masks = torch.rand(_MASKS, game.n_players, generator=torch.Generator().manual_seed(0)) < 0.007
    with FlopCounterMode(display=False) as counter:
        game.ablate(masks[:1])
    flops = counter.get_total_flops() * _MASKS
    seconds = best_seconds(lambda: game.ablate(masks), 2)
    tokens = sum(len(ids) for ids in reranker.encode(plan_task(spec).pairs["heldout"][:_PAIRS])) * _MASKS
    left, right = torch.randn(tokens, 4096), torch.randn(4096, 14_336)
    rate = 2 * tokens * 4096 * 14_336 / best_seconds(lambda: left @ right)
    share = flops / seconds / rate
    return [
        Row(
            work=f"replay of a 7B-like layer, {_PAIRS} pairs, {tokens // _MASKS} tokens, {_MASKS} coalitions",
            ours=f"{flops / seconds / 1e9:.0f} GFLOP/s, {seconds / _MASKS:.2f} s a coalition",
            against=f"GEMM {rate / 1e9:.0f} GFLOP/s",
            figure=f"{100 * share:.0f} %",
            target=">= 60 %",
            met=share >= 0.6,
            values={"flops": flops, "seconds": seconds, "gemm_flops_per_second": rate, "share": share},
        )
    ]
