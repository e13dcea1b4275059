"""Growth of the cost of an ablation with neurons, pairs, layers and coalitions, up to the shape of a 70B layer.

`python -m coterie.benchmark.perf.scale [--picture docs/scale.png]` measures the curves and draws them. Every point is
measured in processor time with one thread, and its memory is compared with the estimate of `coterie.tasks.memory`, its
budget. Weights are random; the tokenizer and the texts are those of pydoc-llama/relevance. For P pairs of T distinct
tokens, L layers after the site of which all but the last are replayed whole, width d, n neurons, m coalitions of size |A|
and b bytes per number:

    seconds ~ m P T [2 d |A| + (L - 1) (8 d^2 + 6 d n) + 4 d^2] / (FLOP/s)       (keys and values of all heads: 4 d^2)
    bytes   ~ P T (2 d + n) b + weights + replay                                  (independent of m)
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from coterie.benchmark.perf.measuring import Shape, least_seconds, reshaped
from coterie.benchmark.perf.row import Row
from coterie.benchmark.runner.environment import peak_memory_bytes, reset_peak_memory
from coterie.leaderboard.display.drawing import own_style
from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.memory import cache_of, replay_of
from coterie.tasks.registry import get_reranker_spec
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.reranker_task import plan_reranker_task
from coterie.tasks.rerankers.reranker import Reranker, load_reranker

CURVES = {
    "neurons": (256, 512, 1024, 2048, 4096),
    "pairs": (10, 20, 40, 80, 160),
    "layers after the site": (2, 3, 5, 9),
    "coalitions": (1, 2, 4, 8, 16),
}
DEFAULTS = {"neurons": 1024, "pairs": 20, "layers after the site": 2, "coalitions": 4}  # of the numbers that stay fixed
LARGE = Shape(layers=3, width=8192, neurons=28_672, heads=64, kv_heads=8)  # layers of Llama 3.1 70B
_WIDTH, _HEADS = 256, 8
_SHARE = 0.02  # of the neurons that a coalition ablates


@dataclass(frozen=True)
class Point:
    """One measured point of a curve."""

    at: int
    """The number that grows."""
    seconds: float
    """Processor seconds of all coalitions."""
    flops: int
    """FLOPs of all coalitions."""
    peak: int
    """Peak memory in bytes, excluding the weights."""
    budget: int
    """The estimate of that memory in bytes."""


def return_free_memory() -> None:
    """Return free memory to the system if the C library can; otherwise the next point would seem to need less."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@torch.no_grad()
def measured(reranker: Reranker, pairs: list[Candidate], coalitions: int, at: int, times: int = 2) -> Point:
    """Measure `coalitions` masks of 2% of the neurons in the game at layer 0 of a reranker."""
    return_free_memory()
    reset_peak_memory()
    before = peak_memory_bytes()
    game = RerankerGame(reranker, pairs, SiteSpec(0))
    masks = torch.rand(coalitions, game.n_players, generator=torch.Generator().manual_seed(0)) < _SHARE
    with FlopCounterMode(display=False) as counter:
        game.ablate(masks[:1])
    seconds = least_seconds(lambda: game.ablate(masks), times, time.process_time)
    peak = peak_memory_bytes() - before
    config: Any = reranker.model.config
    width, later = config.hidden_size, config.num_hidden_layers - 1
    longest = max(map(len, reranker.encode(pairs)))
    budget = 4 * (cache_of(len(pairs), longest, width, game.n_players, later) + replay_of(width, game.n_players))
    return Point(at, seconds, counter.get_total_flops() * coalitions, peak, budget)


def _reranker() -> tuple[Reranker, list[Candidate]]:
    """The reranker whose tokenizer is used, and its held-out pairs."""
    spec = get_reranker_spec("pydoc-llama/relevance")
    return load_reranker(spec.reranker), plan_reranker_task(spec).pairs["heldout"]


def curves() -> dict[str, list[Point]]:
    """The four curves: one number grows, the others stay fixed."""
    reranker, texts = _reranker()
    found: dict[str, list[Point]] = {}
    for name, values in CURVES.items():
        found[name] = []
        for value in values:
            sizes = {**DEFAULTS, name: value}
            shape = Shape(sizes["layers after the site"] + 1, _WIDTH, sizes["neurons"], _HEADS, _HEADS)
            pairs = texts[: sizes["pairs"]]
            found[name].append(measured(reshaped(reranker, shape), pairs, sizes["coalitions"], value))
    return found


def large() -> tuple[Point, float]:
    """Two layers after the site in the shape of a 70B reranker, 2 pairs, 1 coalition; and the rate of a matrix product."""
    reranker, texts = _reranker()
    point = measured(reshaped(reranker, LARGE), texts[:2], 1, LARGE.neurons, times=1)
    left, right = torch.randn(128, LARGE.width), torch.randn(LARGE.width, LARGE.neurons)
    seconds = least_seconds(lambda: left @ right, 6, time.process_time)
    return point, 2 * left.numel() * LARGE.neurons / seconds


def slope(points: list[Point]) -> float:
    """The exponent of growth over the upper half of a curve."""
    first, last = points[len(points) // 2 - 1], points[-1]
    return math.log(last.seconds / first.seconds) / math.log(last.at / first.at)


def draw(found: dict[str, list[Point]], biggest: Point, path: Path) -> None:
    """Draw seconds (left axis), peak memory and its budget (right axis) of each curve, all on logarithmic axes."""
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
        memory.set_ylabel("GB, excluding the weights")
        ticks = [*at, biggest.at] if name == "neurons" else at
        axis.set_xticks(ticks, [str(value) for value in ticks], minor=False)
        axis.minorticks_off()
        if name == "neurons":
            lines = [line for line in (*axis.get_lines(), *memory.get_lines()) if line.get_label()[0] != "_"]
            figure.legend(lines, [str(line.get_label()) for line in lines], loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=110)


def rows(path: Path | None = None) -> list[Row]:
    """One row per curve and one for the shape of a 70B layer; also draws the picture if `path` is given."""
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
                figure=f"grows as x^{slope(points):.2f}, at most {100 * over:.0f}% of the memory budget",
                target="within the budget",
                met=over <= 1,
                values={"points": [asdict(p) for p in points]},
            )
        )
    share = biggest.flops / biggest.seconds / rate
    table.append(
        Row(
            work="a 70B reranker's layer (8,192 x 28,672), 2 layers after the site, 2 pairs, 1 coalition",
            ours=f"{biggest.seconds:.2f} s per coalition, peak {biggest.peak / 1e9:.2f} GB excluding the weights",
            against=f"GEMM {rate / 1e9:.0f} GFLOP/s, budget {biggest.budget / 1e9:.2f} GB",
            figure=f"{100 * share:.0f}% of the GEMM rate",
            target="within the budget",
            met=biggest.peak <= biggest.budget,
            values={"point": asdict(biggest), "gemm_flops_per_second": rate, "share": share},
        )
    )
    return table


def main() -> None:
    """Measure, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=Path("docs/scale.png"))
    for row in rows(parser.parse_args().picture):
        print(f"{row.work:<90} {row.ours:<50} {row.against:<40} {row.figure}")


if __name__ == "__main__":
    main()
