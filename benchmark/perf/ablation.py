"""The ablation engine against a full forward pass a coalition, on the bundled rerankers.

``python -m coterie.benchmark.perf.ablation [TASK ...] [--coalitions 512] [--plain 6] [--json FILE]`` draws random
coalitions of 2 to n/8 players, takes their effects on all held-out pairs with the engine, and those of the first few with
a hook that sets the neurons to zero in a forward pass of the whole model (batches of 64 pairs of similar length). It
prints milliseconds a coalition, their ratio, the largest difference of a score, and the memory at the peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coterie.benchmark.perf.row import Row, reranker_task
from coterie.tasks.collections.types import Candidate
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from coterie.tasks.task import plan_task

TASKS = ("pydoc-llama/relevance", "pydoc-mistral/cqtr", "pydoc-pythia/mean-tf-l")


def random_coalitions(players: int, count: int) -> Tensor:
    """Masks [count, players]: sizes uniform from 2 to players / 8."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(count, players, dtype=torch.bool)
    for mask in masks:
        size = int(torch.randint(2, players // 8 + 1, (1,), generator=generator))
        mask[torch.randperm(players, generator=generator)[:size]] = True
    return masks


@torch.no_grad()
def plain_scores(reranker: Reranker, pairs: list[Candidate], layer: int, masks: Tensor) -> Tensor:
    """Scores [m, pairs]: a forward pass of the whole model a mask, the activations set to zero before ``down``."""
    inputs = reranker.inputs(pairs)
    order = sorted(range(len(pairs)), key=lambda i: len(inputs[i].ids))
    down = reranker.layers[layer].get_submodule(reranker.row_of(layer).down)
    scores = torch.empty(len(masks), len(pairs))
    for row, mask in zip(scores, masks, strict=True):
        hook = down.register_forward_pre_hook(lambda _module, given, kept=~mask: (given[0] * kept, *given[1:]))
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            row[rows] = reranker.logits([inputs[i] for i in rows]).float()
        hook.remove()
    return scores


def measured(name: str, coalitions: int, plain: int) -> dict[str, Any]:
    """One row of the table."""
    spec = reranker_task(name)
    reranker, pairs = load_reranker(spec.reranker), plan_task(spec).pairs["heldout"]
    game = RerankerGame(reranker, pairs, spec.layer)
    masks = random_coalitions(game.n_players, coalitions)
    game.ablate(masks[:8])  # makes what is kept for all masks
    started = time.perf_counter()
    ours = game.ablate(masks)
    engine = (time.perf_counter() - started) / coalitions
    plain_scores(reranker, pairs, spec.layer, masks[:1])
    started = time.perf_counter()
    theirs = plain_scores(reranker, pairs, spec.layer, masks[:plain])
    full = (time.perf_counter() - started) / plain
    return {
        "task": name,
        "layer": spec.layer,
        "pairs": len(pairs),
        "players": game.n_players,
        "coalitions": coalitions,
        "plain_coalitions": plain,
        "engine_ms": 1000 * engine,
        "plain_ms": 1000 * full,
        "ratio": full / engine,
        "largest_difference": float((ours[:plain] - theirs).abs().max()),
        "score_sd": float(game.scores.std()),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "threads": torch.get_num_threads(),
    }


def rows() -> list[Row]:
    """The three bundled rerankers of the table, 512 coalitions."""
    found = []
    for name in TASKS:
        values = measured(name, 512, 4)
        found.append(
            Row(
                work=f"512 random coalitions on {name}, layer {values['layer']}, {values['pairs']} pairs",
                ours=f"{values['engine_ms']:.1f} ms a coalition",
                against=f"whole model with a hook: {values['plain_ms']:.0f} ms",
                figure=f"{values['ratio']:.1f}, differs by {values['largest_difference']:.0e}",
                target=">= 10, equal to 1e-5",
                met=values["ratio"] >= 10 and values["largest_difference"] <= 1e-5,
                values=values,
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=TASKS)
    parser.add_argument("--coalitions", type=int, default=512)
    parser.add_argument("--plain", type=int, default=6)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'task':<24} layer  engine ms   plain ms  ratio  largest difference  peak GiB")
    for name in options.tasks:
        row = measured(name, options.coalitions, options.plain)
        rows.append(row)
        print(
            f"{name:<24} {row['layer']:5} {row['engine_ms']:10.1f} {row['plain_ms']:10.1f} {row['ratio']:6.1f} "
            f"{row['largest_difference']:19.1e} {row['peak_gib']:9.2f}",
            flush=True,
        )
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
