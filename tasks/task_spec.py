"""The specification of a reranker's task, as its YAML file states it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StrictInt

from coterie.tasks.collections.data_spec import DataSpec
from coterie.tasks.config.paths import expand_home
from coterie.tasks.game import Intervention, Readout
from coterie.tasks.objectives import Objective
from coterie.tasks.rerankers.spec import RerankerSpec
from coterie.tasks.task import Group, TaskSpec
from coterie.tasks.training.spec import TrainingSpec


class RerankerTaskSpec(TaskSpec):
    """A reranker's task as written in YAML: a reranker, one of its layers, query-document data and an objective."""

    objective: Objective = "relevance"
    """What the reranker was trained for."""
    reranker: RerankerSpec
    """The checkpoint and how it reads a pair."""
    layer: StrictInt = Field(ge=0)
    """The layer whose players are ablated, from 0."""
    layers: tuple[Annotated[StrictInt, Field(ge=0)], ...] = ()
    """Other layers worth studying; `name[layer=9]` selects one."""
    players: str = "neurons"
    """The units of the layer that are ablated: `neurons`, `experts`, or the neurons of one expert, `expert:3`."""
    intervention: Intervention = "zero"
    """What replaces the activation of an ablated neuron."""
    readout: Readout = "score"
    """Where outputs are read: the final score, or the logit lens after the layer."""
    data: DataSpec
    """The collections and how their queries are split."""
    training: TrainingSpec | None = None
    """How `coterie train` trains the reranker; None for one that exists already."""

    @property
    def group(self) -> Group:
        """Bundled if it can be trained; popular if it is named after its reranker on the hub; else from the paper."""
        if self.training is not None:
            return "bundled"
        return "popular" if self.name in (self.reranker.base, self.reranker.adapter) else "paper"

    def columns(self) -> tuple[str, str]:
        """The objective and the layer."""
        return self.objective, str(self.layer)

    def details(self) -> list[tuple[str, str]]:
        """Reranker, site, layers, objective and collections."""
        base, adapter = self.reranker.base, self.reranker.adapter
        rows = [
            ("reranker", f"{base} + {adapter}" if adapter else base),
            (
                "site",
                f"{self.players} of layer {self.layer}, intervention {self.intervention}, readout {self.readout}",
            ),
        ]
        if self.layers:
            example = f"{self.name.partition('[')[0]}[layer={self.layers[0]}]"
            rows.append(("layers", f"{', '.join(map(str, self.layers))}: {example}"))
        domains = [self.data.source, *self.data.transfer]
        rows.append(("objective", self.objective))
        rows.append(("collections", ", ".join(f"{domain.name} ({domain.collection})" for domain in domains)))
        return rows

    def resolved_in(self, folder: Path) -> Self:
        """The specification with paths that are relative to the task file's folder made absolute.

        A base or an adapter is a folder if that folder exists or the task's training writes it, else a hub id.
        """

        def resolve(source: str | None, trained: bool) -> str | None:
            if source is None:
                return None
            path = (folder / expand_home(source)).resolve()
            return str(path) if trained or source.startswith("~") or path.is_dir() else source

        training = self.training
        reranker = {
            "base": resolve(self.reranker.base, training is not None and training.base is not None),
            "adapter": resolve(self.reranker.adapter, training is not None),
        }
        data = {
            "source": self.data.source.resolved_in(folder),
            "transfer": tuple(domain.resolved_in(folder) for domain in self.data.transfer),
        }
        if training is not None and training.init_adapter is not None:
            training = training.model_copy(update={"init_adapter": expand_home(training.init_adapter)})
        return self.model_copy(
            update={
                "reranker": self.reranker.model_copy(update=reranker),
                "data": self.data.model_copy(update=data),
                "training": training,
            }
        )
