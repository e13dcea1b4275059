"""Effects of coalitions with the ablation engine, against a full forward pass per coalition.

Random coalitions of 2 to n/8 neurons are ablated on all held-out pairs of three bundled rerankers. The comparison, on the
first few coalitions, is a hook that sets the neurons to zero in a forward pass of the whole model, in batches of 64 pairs of
similar length.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from coterie.benchmark.perf.measuring import peak_gib, timed
from coterie.benchmark.perf.row import Row
from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.registry import get_reranker_spec
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.reranker_task import plan_reranker_task
from coterie.tasks.rerankers.reranker import Reranker, load_reranker

TASKS = ("pydoc-llama/relevance", "pydoc-mistral/cqtr", "pydoc-pythia/mean-tf-l")
_COALITIONS, _PLAIN, _BATCH = 512, 4, 64
_RATIO, _DIFFERENCE = 10, 1e-5  # the target


def random_coalitions(n_players: int, count: int) -> Tensor:
    """Masks, shape (count, players), of sizes uniform from 2 to players / 8."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(count, n_players, dtype=torch.bool)
    for mask in masks:
        size = int(torch.randint(2, n_players // 8 + 1, (1,), generator=generator))
        mask[torch.randperm(n_players, generator=generator)[:size]] = True
    return masks


@torch.no_grad()
def plain_scores(reranker: Reranker, pairs: list[Candidate], layer: int, masks: Tensor) -> Tensor:
    """Scores, shape (masks, pairs), by a forward pass per mask with the masked inputs of `down` set to zero."""
    inputs = reranker.inputs(pairs)
    order = sorted(range(len(pairs)), key=lambda i: len(inputs[i].ids))
    down = reranker.layers[layer].get_submodule(reranker.row_of(layer).down)
    scores = torch.empty(len(masks), len(pairs))
    for row, mask in zip(scores, masks, strict=True):
        hook = down.register_forward_pre_hook(lambda _module, args, kept=~mask: (args[0] * kept, *args[1:]))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            row[rows] = reranker.logits([inputs[i] for i in rows]).float()
        hook.remove()
    return scores


def measured(name: str) -> dict[str, Any]:
    """The numbers of one task."""
    spec = get_reranker_spec(name)
    reranker, pairs = load_reranker(spec.reranker), plan_reranker_task(spec).pairs["heldout"]
    game = RerankerGame(reranker, pairs, SiteSpec(spec.layer))
    masks = random_coalitions(game.n_players, _COALITIONS)
    game.ablate(masks[:8])  # fills the caches that all masks share
    ours, engine = timed(lambda: game.ablate(masks))
    plain_scores(reranker, pairs, spec.layer, masks[:1])
    theirs, full = timed(lambda: plain_scores(reranker, pairs, spec.layer, masks[:_PLAIN]))
    engine, full = engine / _COALITIONS, full / _PLAIN
    return {
        "task": name,
        "layer": spec.layer,
        "pairs": len(pairs),
        "players": game.n_players,
        "coalitions": _COALITIONS,
        "plain_coalitions": _PLAIN,
        "engine_ms": 1000 * engine,
        "plain_ms": 1000 * full,
        "ratio": full / engine,
        "largest_difference": float((ours[:_PLAIN] - theirs).abs().max()),
        "score_sd": float(game.scores.std()),
        "peak_gib": peak_gib(),
        "threads": torch.get_num_threads(),
    }


def rows() -> list[Row]:
    """One row per task."""
    found = []
    for name in TASKS:
        values = measured(name)
        found.append(
            Row(
                work=f"{_COALITIONS} random coalitions on {name}, layer {values['layer']}, {values['pairs']} pairs",
                ours=f"{values['engine_ms']:.1f} ms per coalition",
                against=f"whole model with a hook: {values['plain_ms']:.0f} ms",
                figure=f"{values['ratio']:.1f}, differs by {values['largest_difference']:.0e}",
                target=f">= {_RATIO}, equal to 1e-5",
                met=values["ratio"] >= _RATIO and values["largest_difference"] <= _DIFFERENCE,
                values=values,
            )
        )
    return found
