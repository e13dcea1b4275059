"""Named suites: tasks, methods, seeds, and how much is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.benchmark.protocol.settings import Settings


@dataclass(frozen=True)
class Suite:
    """What `coterie run --suite NAME` runs."""

    summary: str
    """One-line description."""
    tasks: tuple[str, ...]
    """Selectors of tasks."""
    methods: tuple[str, ...]
    """Selectors of methods."""
    seeds: int
    """Number of seeds per method; they count from 0."""
    budget: int
    """Evaluations of the discovery game that a method may spend per cell."""
    settings: Settings
    """How much is evaluated of a method's coalitions."""


_SAME_MATRIX = ("hierarchical[affinity={},n_clusters=6]", "spectral[affinity={},n_clusters=6]", "hdbscan[affinity={}]")
_COMMUNITIES = ("leiden[affinity={}]", "louvain[affinity={}]", "hedonic-top-cover[affinity={},k=3]")

_NINE = tuple(
    f"pydoc-{model}/{o}" for model in ("llama", "mistral", "pythia") for o in ("relevance", "cqtr", "mean-tf-l")
)

# their default layer is 1, which is ten times as slow
_LAYER_1 = ("pydoc-llama/cqtr", "pydoc-llama/mean-tf-l", "pydoc-mistral/relevance")

_LIGHT = Settings(
    max_coalitions=4,
    control_pairs=40,
    curve_points=5,
    curve_controls=3,
    reference_evaluations=64,
)

# `quick` is a subset of `board`, with the same budget and settings, so that a first run can be compared with published rows.
_BUDGET = 160

SUITES: dict[str, Suite] = {
    "quick": Suite(
        summary="a first look in a minute or two: one bundled task, three methods, three seeds",
        tasks=("pydoc-llama/relevance",),
        methods=("random", "kmeans-weights", "hedonic-oca"),
        seeds=3,
        budget=_BUDGET,
        settings=_LIGHT,
    ),
    "board": Suite(
        summary="the published board: every built-in method on the nine bundled rerankers, at layer 2",
        tasks=tuple(f"{t}[layer=2]" if t in _LAYER_1 else t for t in _NINE),
        methods=(
            "random",
            "kmeans-weights",
            "kmeans-activations",
            "top-activation",
            "top-gradient",
            "top-integrated-gradients",
            "msa-top",
            "msa-modes",
            "hedonic-oca",
            "hedonic-top-cover",
            "hierarchical",
            "spectral",
            "hdbscan",
            "leiden[resolution=4]",  # the default finds a few communities, too large to be eligible
            "louvain[resolution=4]",
            "hedonic-pas",
            "hierarchical[affinity=pas-hessian]",  # the matrix that hedonic-pas uses
            "leiden[affinity=pas-hessian,resolution=4]",
        ),
        seeds=3,
        budget=_BUDGET,
        settings=_LIGHT,
    ),
    "planted": Suite(
        summary="all methods on planted groups, given their number (six) and size (about four)",
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
    "paper-small": Suite(
        summary="the comparison in Hedonic Neurons on nine small rerankers, all layers, with equal-information baselines",
        tasks=tuple(  # fast layers first; the others take at least ten times as long per ablation, hence fewer queries
            f"{task}[layer={layer},queries={queries}]"
            for layer, queries in ((2, 40), (3, 40), (1, 16), (0, 10))
            for task in _NINE
        ),
        methods=(
            "random",  # the first five are in the paper's tables
            "kmeans-weights",
            "hierarchical",
            "hedonic-oca",
            "hedonic-pas",
            "kmeans-activations",  # the others see what the hedonic methods see
            "leiden[resolution=4]",
            "hierarchical[affinity=pas-hessian]",
            "leiden[affinity=pas-hessian,resolution=4]",
        ),
        seeds=3,
        budget=_BUDGET,
        settings=_LIGHT,
    ),
}
