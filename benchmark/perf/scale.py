"""How the cost of an ablation grows: with neurons, pairs, layers and coalitions, up to a layer of a 70B reranker.

``python -m coterie.benchmark.perf.scale [--picture docs/scale.png]`` measures the curves and draws them. Every point is
measured by one thread, in processor time, and its memory against the estimate of :mod:`coterie.tasks.memory`, its
budget. Random weights; the tokenizer and the texts are those of pydoc-llama/relevance. On paper, with P pairs of T distinct
tokens, L layers after the site of which all but the last are replayed whole, d the width, n neurons and m coalitions of
size |A|:

    seconds ~ m P T [2 d |A| + (L - 1) (8 d^2 + 6 d n) + 4 d^2] / (FLOP/s)       (keys and values of all heads: 4 d^2)
    bytes   ~ P T (2 d + n) b + weights + replay                                  (whatever m is)
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification, LlamaConfig

from coterie.benchmark.perf.row import Row, reranker_task
from coterie.benchmark.runner.environment import peak_memory_bytes, reset_peak_memory
from coterie.leaderboard.display.drawing import own_style
from coterie.tasks.collections.types import Candidate
from coterie.tasks.memory import cache_of, replay_of
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from coterie.tasks.task import plan_task

CURVES = {
    "neurons": (256, 512, 1024, 2048, 4096),
    "pairs": (10, 20, 40, 80, 160),
    "layers after the site": (2, 3, 5, 9),
    "coalitions": (1, 2, 4, 8, 16),
}
LARGE = {"d_model": 8192, "players": 28_672, "heads": 64, "kv_heads": 8}  # a layer of Llama 3.1 70B
_WIDTH, _HEADS, _SHARE = 256, 8, 0.02


@dataclass(frozen=True)
class Point:
    """Processor seconds of all coalitions, FLOPs done in them, bytes held at the peak beside the weights, their budget."""

    at: int
    seconds: float
    flops: int
    peak: int
    budget: int


def shaped(reranker: Reranker, layers: int, d_model: int, players: int, heads: int, kv_heads: int) -> Reranker:
    """The same tokenizer with a Llama of this shape: random weights, one layer's for all of them, as memory is short."""
    config = LlamaConfig(
        vocab_size=len(reranker.tokenizer),
        hidden_size=d_model,
        intermediate_size=players,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
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


def cpu_seconds(work: Callable[[], object], times: int) -> float:
    """The least processor time of several runs: with one thread, what a run takes where nothing else runs."""
    seconds = []
    for _ in range(times):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def give_back() -> None:
    """Hand what is free in the process back to the system, where the C library can: it would hide what the next point takes."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@torch.no_grad()
def measured(reranker: Reranker, pairs: list[Candidate], coalitions: int, at: int, times: int = 2) -> Point:
    """The game at layer 0 of a reranker, and ``coalitions`` masks of 2 % of its neurons."""
    give_back()
    reset_peak_memory()
    before = peak_memory_bytes()
    game = RerankerGame(reranker, pairs, 0)
    masks = torch.rand(coalitions, game.n_players, generator=torch.Generator().manual_seed(0)) < _SHARE
    with FlopCounterMode(display=False) as counter:
        game.ablate(masks[:1])
    seconds = cpu_seconds(lambda: game.ablate(masks), times)
    peak = peak_memory_bytes() - before
    config: Any = reranker.model.config
    width, later = config.hidden_size, config.num_hidden_layers - 1
    longest = max(map(len, reranker.encode(pairs)))
    budget = 4 * (cache_of(len(pairs), longest, width, game.n_players, later) + replay_of(width, game.n_players))
    return Point(at, seconds, counter.get_total_flops() * coalitions, peak, budget)


def curves() -> dict[str, list[Point]]:
    """The four curves: one number grows, the others stay."""
    spec = reranker_task("pydoc-llama/relevance")
    reranker, texts = load_reranker(spec.reranker), plan_task(spec).pairs["heldout"]
    found: dict[str, list[Point]] = {}
    for name, values in CURVES.items():
        found[name] = []
        for value in values:
            sizes = {"neurons": 1024, "pairs": 20, "layers after the site": 2, "coalitions": 4, name: value}
            shape = shaped(reranker, sizes["layers after the site"] + 1, _WIDTH, sizes["neurons"], _HEADS, _HEADS)
            found[name].append(measured(shape, texts[: sizes["pairs"]], sizes["coalitions"], value))
    return found


def large() -> tuple[Point, float]:
    """Two layers after the site in the shape of a 70B reranker, 2 pairs, 1 coalition; and a product's rate there."""
    spec = reranker_task("pydoc-llama/relevance")
    reranker, texts = load_reranker(spec.reranker), plan_task(spec).pairs["heldout"]
    point = measured(shaped(reranker, 3, **LARGE), texts[:2], 1, LARGE["players"], times=1)
    left, right = torch.randn(128, LARGE["d_model"]), torch.randn(LARGE["d_model"], LARGE["players"])
    return point, 2 * left.numel() * LARGE["players"] / cpu_seconds(lambda: left @ right, 6)


def slope(points: list[Point]) -> float:
    """The exponent of growth over the upper half of a curve."""
    first, last = points[len(points) // 2 - 1], points[-1]
    return math.log(last.seconds / first.seconds) / math.log(last.at / first.at)


def draw(found: dict[str, list[Point]], biggest: Point, path: Path) -> None:
    """One picture: seconds (left axis), peak memory and its budget (right axis) of each curve, both logarithmic."""
    with own_style():
        _draw(found, biggest, path)


def _draw(found: dict[str, list[Point]], biggest: Point, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis, (name, points) in zip(axes.flat, found.items(), strict=True):
        at = [p.at for p in points]
        rate = points[-1].flops / points[-1].seconds
        axis.loglog(at, [p.seconds for p in points], "o-", color="C0", label="CPU seconds, measured")
        axis.loglog(at, [p.flops / rate for p in points], ":", color="C0", label="FLOPs at the last point's rate")
        memory = axis.twinx()
        memory.loglog(at, [p.peak / 1e9 for p in points], "s-", color="C1", label="peak memory, measured")
        memory.loglog(at, [p.budget / 1e9 for p in points], "--", color="C1", label="its budget")
        if name == "neurons":
            axis.loglog([biggest.at], [biggest.seconds], "*", color="C0", markersize=14, label="a 70B layer's shape")
            memory.loglog([biggest.at], [biggest.peak / 1e9], "*", color="C1", markersize=14)
            memory.loglog([biggest.at], [biggest.budget / 1e9], "_", color="C1", markersize=18)
        axis.set(xlabel=name, ylabel="CPU seconds, one thread", title=f"{name}: seconds grow as x^{slope(points):.2f}")
        memory.set_ylabel("GB beside the weights")
        shown = [*at, biggest.at] if name == "neurons" else at
        axis.set_xticks(shown, [str(value) for value in shown], minor=False)
        axis.minorticks_off()
        if name == "neurons":
            lines = [line for line in (*axis.get_lines(), *memory.get_lines()) if line.get_label()[0] != "_"]
            figure.legend(lines, [str(line.get_label()) for line in lines], loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=110)


def rows(path: Path | None = None) -> list[Row]:
    """A row a curve and one for the 70B shape; the picture where a path is given."""
    torch.set_num_threads(1)
    found, (biggest, rate) = curves(), large()
    if path is not None:
        draw(found, biggest, path)
    table = []
    for name, points in found.items():
        over = max(p.peak / p.budget for p in points)
        table.append(
            Row(
                work=f"growth with {name}, {points[0].at} to {points[-1].at}",
                ours=f"{points[0].seconds:.3f} to {points[-1].seconds:.3f} s",
                against=f"FLOPs: {points[0].flops / 1e9:.1f} to {points[-1].flops / 1e9:.1f} G",
                figure=f"grows as x^{slope(points):.2f}, at most {100 * over:.0f} % of the memory budget",
                target="within the budget",
                met=over <= 1,
                values={"points": [asdict(p) for p in points]},
            )
        )
    share = biggest.flops / biggest.seconds / rate
    table.append(
        Row(
            work="a 70B reranker's layer (8,192 x 28,672), 2 layers after the site, 2 pairs, 1 coalition",
            ours=f"{biggest.seconds:.2f} s a coalition, peak {biggest.peak / 1e9:.2f} GB beside the weights",
            against=f"GEMM {rate / 1e9:.0f} GFLOP/s, budget {biggest.budget / 1e9:.2f} GB",
            figure=f"{100 * share:.0f} % of the GEMM rate",
            target="within the budget",
            met=biggest.peak <= biggest.budget,
            values={"point": asdict(biggest), "gemm_flops_per_second": rate, "share": share},
        )
    )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=Path("docs/scale.png"))
    for row in rows(parser.parse_args().picture):
        print(f"{row.work:<90} {row.ours:<50} {row.against:<40} {row.figure}")


if __name__ == "__main__":
    main()
