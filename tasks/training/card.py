"""The model card of a reranker: its quality with and without the adapter, and what ablating each whole MLP costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coterie.tasks.collections.loading import load_domain
from coterie.tasks.collections.types import Candidate
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.ndcg import NDCG
from coterie.tasks.objectives import agreement
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.reranker_task import read_data
from coterie.tasks.rerankers.reranker import Reranker, load_reranker
from coterie.tasks.signals import signal_values, statistics_of
from coterie.tasks.task import Qrels
from coterie.tasks.task_spec import RerankerTaskSpec

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class CardData:
    """What the card is measured on, read before training."""

    pairs: Mapping[str, list[Candidate]]
    """Candidates by split, without discovery."""

    qrels: Mapping[str, Qrels]
    """Judgements of the splits whose candidates come from a run."""

    dataset_revision: str
    """Hash of the texts."""


def card_data(spec: RerankerTaskSpec) -> CardData:
    """Read what the card is measured on. Raises `DataError` if the collections have too few queries."""
    read = read_data(with_card_queries(spec))
    pairs = {split: [Candidate(*row) for row in rows] for split, rows in read["pairs"].items() if split != "discovery"}
    return CardData(pairs, read["qrels"], read["revision"])


def measure(spec: RerankerTaskSpec, data: CardData, log: Callable[[str], None]) -> dict[str, Any]:
    """The figures of the card, on `training.card_queries` queries per split that were not used for training.

    nDCG@10 with intervals, compared with baselines; for a scalar objective also R2 and Spearman of the score with it; and
    the drop of nDCG@10 on held-out queries when the whole MLP of a layer is zeroed.
    """
    tuned = load_reranker(spec.reranker)
    untuned = _without_adapter(spec, tuned)
    quality, agreements = {}, {}
    for split, rows in data.pairs.items():
        systems = {
            "reranker": tuned.score(rows).double().numpy(),
            "without LoRA (trained head kept)": untuned.score(rows).double().numpy(),
            "BM25 order": _bm25(spec, split, rows),
            "random order (20 draws)": np.random.default_rng(0).random((20, len(rows))),
        }
        ndcg = NDCG(rows, data.qrels.get(split))
        quality[split] = {
            name: interval(ndcg.per_query(scores).reshape(-1, len(ndcg.query_ids)).mean(0))
            for name, scores in systems.items()
        }
        log(f"{split}: " + ", ".join(f"{k} {v[0]:.3f} [{v[1]:.3f}, {v[2]:.3f}]" for k, v in quality[split].items()))
        if spec.objective != "relevance":
            agreements[split] = {name: _known(agreement(systems[name], rows)) for name in list(systems)[:3]}
            log(
                f"{split}: "
                + ", ".join(
                    f"{k} R2 {_formatted(a)} Spearman {_formatted(b)}" for k, (a, b) in agreements[split].items()
                )
            )
    return {
        "dataset_revision": data.dataset_revision,
        "queries": {name: len({p.query_id for p in rows}) for name, rows in data.pairs.items()},
        "candidates": spec.data.candidates,
        "ndcg_at_10": quality,
        "agreement": agreements,
        "whole_layer_drop": _layer_drops(tuned, data, log),
        "detectable_drop": _detectable(tuned, data.pairs["heldout"], spec),
    }


def with_card_queries(spec: RerankerTaskSpec) -> RerankerTaskSpec:
    """The task with the card's number of judged queries. Discovery stays the same, because it defines the grades."""
    wanted = spec.training.card_queries if spec.training else None
    if wanted is None:
        return spec
    queries = spec.data.queries.model_copy(update={"heldout": wanted, "transfer": wanted})
    return spec.model_copy(update={"data": spec.data.model_copy(update={"queries": queries})})


def _without_adapter(spec: RerankerTaskSpec, tuned: Reranker) -> Reranker:
    """The base with the trained head."""
    untuned = load_reranker(spec.reranker.model_copy(update={"adapter": None}), new_head=True)
    for head in tuned.row.head_modules:
        untuned.model.get_submodule(head).load_state_dict(tuned.model.get_submodule(head).state_dict())
    return untuned


def _bm25(spec: RerankerTaskSpec, split: str, rows: list[Candidate]) -> np.ndarray:
    """BM25 of every pair, on full texts and with the statistics of the whole domain."""
    domain_spec = next((d for d in spec.data.transfer if d.name == split), spec.data.source)
    domain = load_domain(domain_spec)
    return signal_values(
        "bm25", [(p.query, domain.documents[p.document_id]) for p in rows], statistics_of(domain.documents.values())
    )


def write_card(spec: RerankerTaskSpec, folder: Path, measured: dict[str, Any], source: str) -> None:
    """Write `card.json` (the figures) and `README.md` (the model card, made from them) to the adapter's folder.

    `source` is the argument of `coterie train`: a registered task or a file.
    """
    (folder / "card.json").write_text(json.dumps(measured, indent=1) + "\n")
    (folder / "README.md").write_text(_card_text(spec, measured, source))


def _card_text(spec: RerankerTaskSpec, measured: dict[str, Any], source: str) -> str:
    def row(name: str, cells: list[Interval]) -> str:
        return f"| {name} | " + " | ".join(f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, a, b in cells) + " |"

    quality: dict[str, dict[str, Interval]] = measured["ndcg_at_10"]
    queries: dict[str, int] = measured["queries"]
    systems = list(next(iter(quality.values())))
    lines = [
        f"# {spec.name}",
        "",
        f"{spec.summary} Made by `coterie train {source}`; `train.log` in this folder is that command's output. "
        f"Not for use outside coterie.",
        "",
        f"nDCG@10 with {measured['candidates']} candidates per query, on queries that were not used for training, "
        "95 % bootstrap intervals over queries (" + ", ".join(f"{n} {d}" for d, n in queries.items()) + "):",
        "",
        "| | " + " | ".join(quality) + " |",
        "|---|" + "---|" * len(quality),
        *(row(system, [quality[d][system] for d in quality]) for system in systems),
        "",
        *_agreement_lines(measured["agreement"]),
        "nDCG@10 lost on held-out queries when the whole MLP of one layer is zeroed at every token "
        f"(the task's layer is {spec.layer}):",
        "",
        "| layer | drop |",
        "|---|---|",
        *(row(layer, [drop]) for layer, drop in measured["whole_layer_drop"].items()),
        "",
        f"Smallest drop of nDCG@10 that the task's {spec.data.queries.heldout} held-out queries can detect (80 % power, "
        f"two-sided 5 %), from the spread over queries of the drop caused by random sets: "
        + ", ".join(f"{value:.3f} for {size} neurons" for size, value in measured["detectable_drop"].items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def _known(values: tuple[float, float]) -> tuple[float | None, float | None]:
    """R2 and Spearman; None if undefined because scores or objective do not vary."""
    first, second = (None if np.isnan(value) else value for value in values)
    return first, second


def _formatted(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _agreement_lines(agreements: dict[str, dict[str, tuple[float | None, float | None]]]) -> list[str]:
    if not agreements:
        return []
    systems = list(next(iter(agreements.values())))
    return [
        "nDCG@10 uses the quintile of the objective among the discovery pairs as grade (0 to 4). R2 of the least-squares line "
        "from score to objective, and Spearman, over all pairs:",
        "",
        "| | " + " | ".join(agreements) + " |",
        "|---|" + "---|" * len(agreements),
        *(
            f"| {name} | "
            + " | ".join(f"{_formatted(a[name][0])}, {_formatted(a[name][1])}" for a in agreements.values())
            + " |"
            for name in systems
        ),
        "",
    ]


def _layer_drops(reranker: Reranker, data: CardData, log: Callable[[str], None]) -> dict[str, Interval]:
    rows, drops = data.pairs["heldout"], {}
    ndcg = NDCG(rows, data.qrels.get("heldout"))
    for layer in range(len(reranker.layers)):
        game = RerankerGame(reranker, rows, SiteSpec(layer))
        n = game.n_players
        whole = torch.stack([torch.zeros(n, dtype=torch.bool), torch.ones(n, dtype=torch.bool)])
        full, ablated = ndcg.per_query(game.ablate(whole).double().numpy())
        drop, low, high = drops[str(layer)] = interval(full - ablated)
        log(f"whole MLP of layer {layer} ablated: nDCG@10 drops by {drop:.3f} [{low:.3f}, {high:.3f}]")
    return drops


def _detectable(reranker: Reranker, rows: list[Candidate], spec: RerankerTaskSpec, draws: int = 20) -> dict[str, float]:
    """Smallest detectable mean drop for random sets of n/32 and n/8 neurons: 2.80 standard deviations / sqrt(queries).

    2.80 is the sum of the normal quantiles for 97.5 % and 80 %.
    """
    game, ndcg = RerankerGame(reranker, rows, SiteSpec(spec.layer)), NDCG(rows)
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
