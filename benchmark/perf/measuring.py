"""What the parts share: clocks, peak memory, and a reranker of any shape with random weights."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, LlamaConfig

from coterie.benchmark.runner.environment import peak_memory_bytes
from coterie.tasks.rerankers.reranker import Reranker

Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """The result of some work, and its wall-clock seconds."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def least_seconds(work: Callable[[], object], times: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the shortest of several runs.

    With `time.process_time` as the clock and one thread, this is the time of a run on an otherwise idle machine.
    """
    seconds = []
    for _ in range(times):
        started = clock()
        work()
        seconds.append(clock() - started)
    return min(seconds)


def peak_gib() -> float:
    """Peak resident memory of this process in GiB."""
    return peak_memory_bytes() / 2**30


@dataclass(frozen=True)
class Shape:
    """The shape of a Llama."""

    layers: int
    """Number of layers."""
    width: int
    """Width of the residual stream, d."""
    neurons: int
    """MLP neurons per layer, n."""
    heads: int
    """Attention heads."""
    kv_heads: int
    """Key and value heads."""


def reshaped(reranker: Reranker, shape: Shape) -> Reranker:
    """A Llama of this shape with the tokenizer of `reranker` and random weights.

    All layers share one layer's weights, which saves memory.
    """
    config = LlamaConfig(
        vocab_size=len(reranker.tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.neurons,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        num_labels=1,
        pad_token_id=reranker.tokenizer.pad_token_id or 0,
    )
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    shared: dict[str, nn.Parameter] = {}
    for name, parameter in list(model.named_parameters()):
        key = re.sub(r"layers\.\d+", "layers", name)
        if key not in shared:
            drawn = torch.randn(parameter.shape) * 0.02 if parameter.ndim > 1 else torch.ones(parameter.shape)
            shared[key] = nn.Parameter(drawn, requires_grad=False)
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, shared[key])
    return replace(reranker, model=model.eval(), base_mlp={})
