"""Named suites: which tasks, methods and seeds, and how much is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.benchmark.settings import Settings


@dataclass(frozen=True)
class Suite:
    """What ``coterie run --suite NAME`` runs. ``budget`` is what a method may spend, in evaluations of the discovery game."""

    summary: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: int
    budget: int
    settings: Settings


_SAME_MATRIX = ("hierarchical[affinity={},n_clusters=6]", "spectral[affinity={},n_clusters=6]", "hdbscan[affinity={}]")
_COMMUNITIES = ("leiden[affinity={}]", "louvain[affinity={}]", "hedonic-top-cover[affinity={},k=3]")

SUITES: dict[str, Suite] = {
    "quick": Suite(
        summary="one bundled task, three methods, two seeds: a first look in a minute or two",
        tasks=("pydoc-llama/relevance",),
        methods=("random", "kmeans-weights", "hedonic-oca"),
        seeds=2,
        budget=1000,
        settings=Settings(),
    ),
    "planted": Suite(
        summary="all methods where the truth is known, told that it is six groups of about four",
        tasks=(
            "planted/backup",
            "planted/coactive",
            "planted/decoys",
            "planted/grouped-writes",
            "planted/llama",
            "planted/needed",
            "planted/noisy",
            "planted/overlap",
            "planted/silent",
        ),
        methods=(
            "random[min_size=3,max_size=5]",
            "kmeans-weights[n_clusters=6]",
            "kmeans-activations[n_clusters=6]",
            "hedonic-oca[k=3]",
            "hedonic-pas[affinity=pas,k=3]",
            *(selector.format(name) for name in ("oca", "pas") for selector in (*_SAME_MATRIX, *_COMMUNITIES)),
            "msa-modes[evaluations=300,n_clusters=6]",
            "msa-top[evaluations=300,size=4]",
            "top-activation[size=4]",
            "top-gradient[size=4]",
            "top-integrated-gradients[size=4]",
        ),
        seeds=1,
        budget=2000,
        settings=Settings(max_coalitions=32, largest_share=1, pairs=6, leave_one_outs=4),
    ),
}
