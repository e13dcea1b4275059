"""Planted tasks: games whose groups are known, because they were planted. No model, texts or download are needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, StrictInt

from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.planted.game import PLANTED_VERSION, Groups, Layout, PlantedGame, Planting
from coterie.tasks.planted.reranker import planted_pairs, planted_reranker
from coterie.tasks.query_game import QueryGame
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.task import Group, Provided, Qrels, TaskSpec


class PlantedSpec(TaskSpec):
    """A planted task as written in YAML."""

    planting: Planting
    """The groups to plant, and the decoys around them."""
    inside: Literal["game", "llama"] = "game"
    """What the groups are planted in: a bare game, or a layer of a small Llama."""
    queries: StrictInt = Field(default=40, ge=2, le=10_000)
    """Queries per split."""
    depth: StrictInt = Field(default=5, ge=1, le=1000)
    """Pairs per query."""

    def resolved_in(self, folder: Path) -> Self:  # noqa: ARG002 - there are no paths
        """The specification itself. Raises `ValueError` for groups that are too small for their overlap."""
        Layout.of(self.planting)
        return self

    @property
    def group(self) -> Group:
        """Always `planted`."""
        return "planted"

    def columns(self) -> tuple[str, str]:
        """The word `planted`, and a dash, because a planted game has no layer."""
        return "planted", "-"

    def details(self) -> list[tuple[str, str]]:
        """The planting, and the number of queries and pairs."""
        planting = [(name, str(value)) for name, value in self.planting.model_dump().items()]
        return [("inside", self.inside), *planting, ("queries", f"{self.queries} per split, {self.depth} pairs each")]


@dataclass(frozen=True)
class PlantedPlan:
    """A planted task before its games are built."""

    spec: PlantedSpec
    """The specification that the plan was made from."""

    @property
    def name(self) -> str:
        """The specification's name."""
        return self.spec.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what determines the task: its specification, and the version of the code that builds its games."""
        parts = [self.spec.model_dump(mode="json", exclude={"summary"}), PLANTED_VERSION]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Always empty, because the results depend only on the specification."""
        return ()

    @property
    def query_counts(self) -> dict[str, int]:
        """The number of queries of each split."""
        return {"discovery": self.spec.queries, "heldout": self.spec.queries}

    def details(self) -> list[tuple[str, str]]:
        """The beginning of the fingerprint."""
        return [("fingerprint", self.fingerprint[:16])]

    def load(self, device: str = "cpu", progress: Callable[[str], None] = lambda _step: None) -> PlantedTask:
        """Build both games, with the same groups and different pairs. Raises `ValueError` for an impossible planting."""
        spec = self.spec
        progress("planting")
        games: list[QueryGame]
        if spec.inside == "game":
            games = [PlantedGame(spec.planting, spec.queries, spec.depth, split) for split in (0, 1)]
        else:
            reranker, seed = planted_reranker(spec.planting, device), spec.planting.seed
            games = [
                RerankerGame(reranker, planted_pairs(spec.queries, spec.depth, split, seed), SiteSpec(0))
                for split in (0, 1)
            ]
        return PlantedTask(self, *games)


@dataclass(frozen=True)
class PlantedTask:
    """A planted task with its games. It has no relevance judgements and no transfer domains."""

    plan: PlantedPlan
    """The plan that the task was loaded from."""
    discovery: QueryGame
    """The game that methods play."""
    heldout: QueryGame
    """The judge's game: the same groups, different pairs."""

    @property
    def name(self) -> str:
        """The specification's name."""
        return self.plan.name

    @property
    def domains(self) -> Mapping[str, QueryGame]:
        """The judge's only game, `heldout`."""
        return {"heldout": self.heldout}

    @property
    def provides(self) -> frozenset[Provided]:
        """Only the truth."""
        return frozenset({"truth"})

    @property
    def truth(self) -> Groups:
        """The planted groups."""
        return Layout.of(self.plan.spec.planting).truth

    @property
    def qrels(self) -> Mapping[str, Qrels]:
        """Always empty, because nothing is judged."""
        return {}

    @property
    def documents(self) -> dict[str, str]:
        """The documents of the held-out pairs by id; empty for a bare game."""
        return {pair.document_id: pair.document for pair in self.heldout.pairs}

    @property
    def warnings(self) -> tuple[str, ...]:
        """The plan's warnings."""
        return self.plan.warnings

    def info(self) -> dict[str, Any]:
        """What a reader of a result needs to know about the task; a bare game has no layer."""
        return {
            "dataset_revision": self.plan.fingerprint,
            "model_hash": self.plan.fingerprint,
            "architecture": f"planted {self.plan.spec.inside}",
            "objective": "planted",
            "layer": 0 if self.plan.spec.inside == "llama" else None,
            "intervention": "zero",
            "readout": "score",
            "n_players": self.discovery.n_players,
            "queries": self.plan.query_counts,
            "ndcg_at_10": {},
        }
