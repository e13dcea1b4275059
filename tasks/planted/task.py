"""A planted task: a game whose truth is known, as a task of the benchmark. It needs no model, no texts, no download."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from coterie.tasks.config.names import task_name
from coterie.tasks.config.numbers import Whole
from coterie.tasks.planted.game import PLANTED_VERSION, Groups, Layout, PlantedGame, Planting
from coterie.tasks.planted.reranker import planted_pairs, planted_reranker
from coterie.tasks.reranker_game import RerankerGame


class PlantedSpec(BaseModel):
    """A planted task as it is written in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(task_name)]
    summary: str
    planting: Planting
    inside: Literal["game", "llama"] = Field(default="game", description="a game of its own, or a layer of a Llama")
    queries: Whole = Field(default=40, ge=2, le=10_000, description="queries of each split")
    depth: Whole = Field(default=5, ge=1, le=1000, description="pairs a query")


@dataclass(frozen=True)
class PlantedPlan:
    """A planted task before it is made; the counterpart of :class:`coterie.tasks.task.TaskPlan`."""

    spec: PlantedSpec

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what determines the task: its numbers, and the version of the code that makes a game of them."""
        parts = [self.spec.model_dump(mode="json", exclude={"summary"}), PLANTED_VERSION]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class PlantedTask:
    """The counterpart of :class:`coterie.tasks.task.Task`. There is no judgement of relevance and no other domain."""

    plan: PlantedPlan
    discovery: PlantedGame | RerankerGame
    heldout: PlantedGame | RerankerGame

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def truth(self) -> Groups:
        """The planted groups."""
        return Layout.of(self.plan.spec.planting).truth

    @property
    def domains(self) -> Mapping[str, PlantedGame | RerankerGame]:
        """The judges' games by name."""
        return {"heldout": self.heldout}


def load_planted(plan: PlantedPlan, device: str = "cpu") -> PlantedTask:
    """Make both games: the same groups, other pairs. Raises ``ValueError`` on a planting that cannot be made."""
    spec = plan.spec
    games: list[PlantedGame | RerankerGame]
    if spec.inside == "game":
        games = [PlantedGame(spec.planting, spec.queries, spec.depth, split) for split in (0, 1)]
    else:
        reranker, seed = planted_reranker(spec.planting, device), spec.planting.seed
        games = [RerankerGame(reranker, planted_pairs(spec.queries, spec.depth, split, seed), 0) for split in (0, 1)]
    return PlantedTask(plan, *games)
