"""Ablation nDCG: what ranking quality is lost when a coalition is ablated, in domain and on each transfer domain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coterie.benchmark.bench import Bench, Domain, Evaluated
from coterie.benchmark.metrics.base import Contribution, Metric, mean_contribution


class AblationNDCG(Metric):
    """Drop of nDCG@10 by query, mean over the evaluated coalitions, above size-matched random sets.

    The drop on transfer domains is the out-of-domain drop of Hedonic Neurons (arXiv 2509.23684, OOD drop).
    ``transfer`` pools the queries of all transfer domains.
    """

    name = "ndcg_drop"
    unit = "nDCG@10"
    needs = frozenset({"judgements", "transfer"})
    ranked_domains = ("heldout", "transfer")
    summary = "nDCG@10 lost when a coalition is ablated, above size-matched random sets"

    def measure(self, bench: Bench, coalitions: Sequence[Evaluated]) -> list[Contribution]:
        parts = [_drop(bench, name, domain, coalitions) for name, domain in bench.domains.items()]
        return [*parts, pooled("transfer", parts[1:])]


def _drop(bench: Bench, name: str, domain: Domain, coalitions: Sequence[Evaluated]) -> Contribution:
    sizes = sorted({len(c.members) for c in coalitions})
    controls = {s: [r.members for r in bench.controls(s)] for s in sizes}
    domain.prepare([*(c.members for c in coalitions), *(g for groups in controls.values() for g in groups)])
    by_size = {s: domain.ndcg_drops(groups).mean(0) for s, groups in controls.items()}
    return mean_contribution(
        name,
        domain.ndcg_drops([c.members for c in coalitions]),
        np.stack([by_size[len(c.members)] for c in coalitions]),
    )


def pooled(domain: str, parts: Sequence[Contribution]) -> Contribution:
    """Several domains as one: their queries side by side."""
    return Contribution(
        domain,
        np.concatenate([p.numerator for p in parts]),
        np.concatenate([p.control for p in parts]),
        np.concatenate([p.denominator for p in parts]),
    )
