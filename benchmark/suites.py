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


SUITES: dict[str, Suite] = {
    "quick": Suite(
        summary="one bundled task, three methods, two seeds: a first look in about a minute",
        tasks=("pydoc-llama/relevance",),
        methods=("random", "kmeans-weights", "hedonic-oca"),
        seeds=2,
        budget=1000,
        settings=Settings(),
    ),
}
