"""How the bundled rerankers are made and measured: ``coterie train pydoc-llama/relevance``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from coterie.tasks.collections.candidates import BM25, candidates, in_hash_order, split_of
from coterie.tasks.collections.pydoc import SOURCE_DOMAIN, load_pydoc
from coterie.tasks.collections.types import Candidate, Domain
from coterie.tasks.ndcg import NDCG
from coterie.tasks.reranker import Reranker, load_reranker
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.task import TaskSpec, data_revision
from coterie.tasks.training.adapter import AdapterRecipe, train_relevance
from coterie.tasks.training.base import BaseRecipe, train_base

QUERIES_MEASURED = 300
Interval = tuple[float, float, float]


def make_base(folder: Path, recipe: BaseRecipe, log: Callable[[str], None]) -> None:
    """Train the base on the training split of the source domain and save it as ``folder/base``."""
    source = load_pydoc()[SOURCE_DOMAIN]
    pairs = [(source.queries[q], source.documents[q]) for q in _train_queries(source)]
    log(f"base: {len(pairs)} training pairs, {asdict(recipe)}")
    train_base(recipe, pairs, folder / "base", log)


def make_adapter(folder: Path, recipe: AdapterRecipe, log: Callable[[str], None]) -> None:
    """Fine-tune ``folder/base`` for relevance and save the adapter as ``folder/relevance``."""
    source = load_pydoc()[SOURCE_DOMAIN]
    log(f"relevance: {asdict(recipe)}")
    train_relevance(folder / "base", source, _train_queries(source), recipe, folder / "relevance", log)


def measure(spec: TaskSpec, log: Callable[[str], None]) -> dict[str, object]:
    """What the model card says: nDCG@10 with intervals against baselines, and what ablating each whole MLP costs.

    On up to 300 queries a split that were not trained on, with the task's candidates.
    """
    domains = load_pydoc()
    tuned = load_reranker(spec.reranker)
    untuned = load_reranker(spec.reranker.model_copy(update={"adapter": None}))
    untuned.model.score.weight.data.copy_(tuned.model.score.weight.data)  # the base under the trained head
    pairs = {"heldout": _measured_pairs(domains[spec.data.source], spec.data.candidates, heldout=True)}
    for name in spec.data.transfer:
        pairs[name] = _measured_pairs(domains[name], spec.data.candidates, heldout=False)
    quality = {}
    for name, rows in pairs.items():
        domain = domains[spec.data.source if name == "heldout" else name]
        quality[name] = _quality(rows, domain, tuned, untuned)
        log(f"{name}: " + ", ".join(f"{k} {v[0]:.3f} [{v[1]:.3f}, {v[2]:.3f}]" for k, v in quality[name].items()))
    layers = int(tuned.model.config.num_hidden_layers)
    sensitivity = {str(layer): _layer_drop(tuned, pairs["heldout"], layer) for layer in range(layers)}
    for layer, (drop, low, high) in sensitivity.items():
        log(f"whole MLP of layer {layer} ablated: nDCG@10 drops by {drop:.3f} [{low:.3f}, {high:.3f}]")
    revision = data_revision({n: domains[n] for n in (spec.data.source, *spec.data.transfer)})
    return {
        "dataset_revision": revision,
        "queries": {name: len({p.query_id for p in rows}) for name, rows in pairs.items()},
        "candidates": spec.data.candidates,
        "ndcg_at_10": quality,
        "whole_layer_drop": sensitivity,
        "detectable_drop": _detectable(tuned, pairs["heldout"], spec),
    }


def write_card(spec: TaskSpec, folder: Path, measured: dict[str, object]) -> None:
    """Write ``card.json`` (the figures) and ``README.md`` (the model card, from the figures) beside the adapter."""
    (folder / "card.json").write_text(json.dumps(measured, indent=1) + "\n")
    (folder / "README.md").write_text(_card_text(spec, measured))


def _card_text(spec: TaskSpec, measured: dict[str, object]) -> str:
    def row(name: str, cells: list[Interval]) -> str:
        return f"| {name} | " + " | ".join(f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, a, b in cells) + " |"

    quality: dict[str, dict[str, Interval]] = measured["ndcg_at_10"]  # type: ignore[assignment]
    drops: dict[str, Interval] = measured["whole_layer_drop"]  # type: ignore[assignment]
    queries: dict[str, int] = measured["queries"]  # type: ignore[assignment]
    detectable: dict[str, float] = measured["detectable_drop"]  # type: ignore[assignment]
    systems = list(next(iter(quality.values())))
    lines = [
        f"# {spec.name}",
        "",
        f"{spec.summary} Made by `coterie train {spec.name}` from nothing but installed docstrings (collection `pydoc`); "
        f"`train.log` beside this file is that command's output. Not for use outside coterie.",
        "",
        f"nDCG@10 with {measured['candidates']} candidates a query on queries that were not trained on, "
        "95 % bootstrap intervals over queries (" + ", ".join(f"{n} {d}" for d, n in queries.items()) + "):",
        "",
        "| | " + " | ".join(quality) + " |",
        "|---|" + "---|" * len(quality),
        *(row(system, [quality[d][system] for d in quality]) for system in systems),
        "",
        "nDCG@10 lost on held-out queries when the whole MLP of one layer is zeroed at every token "
        f"(the task's layer is {spec.layer}):",
        "",
        "| layer | drop |",
        "|---|---|",
        *(row(layer, [drop]) for layer, drop in drops.items()),
        "",
        f"Smallest drop of nDCG@10 that the task's {spec.data.queries.heldout} held-out queries detect (80 % power, "
        f"two-sided 5 %), from the spread over queries of the drop that random sets cause: "
        + ", ".join(f"{value:.3f} for {size} neurons" for size, value in detectable.items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def _train_queries(domain: Domain) -> list[str]:
    return [q for q in domain.queries if split_of(q) == "train"]


def _measured_pairs(domain: Domain, depth: int, heldout: bool) -> list[Candidate]:
    queries = [q for q in domain.queries if not heldout or split_of(q) == "heldout"]
    return candidates(domain, in_hash_order(queries)[:QUERIES_MEASURED], depth)


def _quality(rows: list[Candidate], domain: Domain, tuned: Reranker, untuned: Reranker) -> dict[str, Interval]:
    ndcg, bm25, generator = NDCG(rows), BM25(domain), np.random.default_rng(0)
    by_query: dict[str, list[str]] = {}
    for p in rows:
        by_query.setdefault(p.query_id, []).append(p.document_id)
    lexical = np.concatenate([bm25.score(domain.queries[q], ids) for q, ids in by_query.items()])
    systems = {
        "reranker": tuned.score(rows).numpy(),
        "without LoRA (trained head kept)": untuned.score(rows).numpy(),
        "BM25 order": lexical,
        "random order (20 draws)": generator.random((20, len(rows))),
    }
    return {
        name: interval(ndcg.per_query(scores).reshape(-1, len(by_query)).mean(0)) for name, scores in systems.items()
    }


def _layer_drop(reranker: Reranker, rows: list[Candidate], layer: int) -> Interval:
    game = RerankerGame(reranker, rows, layer)
    whole = torch.stack([torch.zeros(game.n_players, dtype=torch.bool), torch.ones(game.n_players, dtype=torch.bool)])
    full, ablated = NDCG(rows).per_query(game.ablate(whole).double().numpy())
    return interval(full - ablated)


def _detectable(reranker: Reranker, rows: list[Candidate], spec: TaskSpec, draws: int = 20) -> dict[str, float]:
    """Smallest detectable mean drop for random sets of n/32 and n/8 neurons: 2.80 standard deviations / sqrt(queries)."""
    game, ndcg = RerankerGame(reranker, rows, spec.layer), NDCG(rows)
    generator, found = np.random.default_rng(0), {}
    for size in (game.n_players // 32, game.n_players // 8):
        groups = [generator.choice(game.n_players, size, replace=False).tolist() for _ in range(draws)]
        values = ndcg.per_query(game.ablate(game.masks([[], *groups])).double().numpy())
        spread = float((values[0] - values[1:]).std(axis=1).mean())
        found[str(size)] = 2.80 * spread / spec.data.queries.heldout**0.5
    return found


def interval(per_query: np.ndarray) -> Interval:
    """Mean with its 95 % percentile bootstrap interval over queries (2,000 resamples, seed 0)."""
    resamples = np.random.default_rng(0).choice(per_query, (2000, len(per_query))).mean(1)
    return float(per_query.mean()), float(np.quantile(resamples, 0.025)), float(np.quantile(resamples, 0.975))
