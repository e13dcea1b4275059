"""Named suites: which tasks, methods and seeds, and how much is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.benchmark.protocol.settings import Settings


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

_NINE = tuple(
    f"pydoc-{model}/{o}" for model in ("llama", "mistral", "pythia") for o in ("relevance", "cqtr", "mean-tf-l")
)

_LAYER_1 = ("pydoc-llama/cqtr", "pydoc-llama/mean-tf-l", "pydoc-mistral/relevance")  # by default; ten times as slow

_LIGHT = Settings(
    max_coalitions=4,
    control_pairs=40,
    curve_points=5,
    curve_controls=3,
    reference_evaluations=64,
)

# ``quick`` is a part of ``board``: of the same budget and settings, so that a first run stands beside the published rows.
_BUDGET = 160

SUITES: dict[str, Suite] = {
    "quick": Suite(
        summary="one bundled task, three methods, three seeds: a first look in a minute or two",
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
            "leiden[resolution=4]",  # by default they find a few communities too large to be judged
            "louvain[resolution=4]",
            "hedonic-pas",
            "hierarchical[affinity=pas-hessian]",  # on the very matrix that hedonic-pas has
            "leiden[affinity=pas-hessian,resolution=4]",
        ),
        seeds=3,
        budget=_BUDGET,
        settings=_LIGHT,
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
    "paper-small": Suite(
        summary="the comparison of Hedonic Neurons on nine small rerankers, all layers, with equal-information baselines",
        tasks=tuple(  # the quick layers first; of the others an ablation takes ten times as long and more: on fewer queries
            f"{task}[layer={layer},queries={queries}]"
            for layer, queries in ((2, 40), (3, 40), (1, 16), (0, 10))
            for task in _NINE
        ),
        methods=(
            "random",  # the first five are those of the paper's tables
            "kmeans-weights",
            "hierarchical",
            "hedonic-oca",
            "hedonic-pas",
            "kmeans-activations",  # and these see what the hedonic ones see
            "leiden[resolution=4]",
            "hierarchical[affinity=pas-hessian]",
            "leiden[affinity=pas-hessian,resolution=4]",
        ),
        seeds=3,
        budget=_BUDGET,
        settings=_LIGHT,
    ),
}
