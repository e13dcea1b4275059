"""What all tasks have in common: a specification, the plan made from it, and the loaded task with its games.

A specification is the content of a task file; it is read once and passed on as a value. Its plan holds everything that
determines the task's results, before any model is loaded. The loaded task has the games that methods and the judge play.
`kinds.py` lists the kinds of task: a reranker's (`reranker_task.py`) and a planted game (`planted/task.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, PrivateAttr

from coterie.tasks.config.names import check_task_name
from coterie.tasks.config.yaml_file import Origin
from coterie.tasks.query_game import QueryGame

Qrels = Mapping[str, Mapping[str, int]]
"""Query id to document id to grade."""

Provided = Literal["judgements", "transfer", "truth"]
"""What a task offers beyond ablations: relevance judgements, transfer domains, planted groups."""

Group = Literal["planted", "bundled", "paper", "popular"]
"""The heading under which `coterie ls tasks` lists a task."""


class TaskSpec(BaseModel, ABC):
    """A task as written in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(check_task_name)]
    """The registered name, followed by changed parameters in brackets if a selector changed any: `name[layer=1]`."""
    summary: str
    """One line about the task, for lists."""
    _origin: Origin | None = PrivateAttr(default=None)

    @property
    def origin(self) -> Origin:
        """Where the specification was read, for errors about it; the name if it was not read from a file."""
        return self._origin or Origin(self.name)

    def read_at(self, origin: Origin) -> Self:
        """The same specification with its origin."""
        copy = self.model_copy()
        copy._origin = origin
        return copy

    @abstractmethod
    def resolved_in(self, folder: Path) -> Self:
        """The specification with paths that are relative to the task file's folder made absolute.

        Raises `ValueError` for a path, or a combination of fields, that cannot work.
        """

    @property
    @abstractmethod
    def group(self) -> Group:
        """The heading under which the task is listed."""

    @abstractmethod
    def columns(self) -> tuple[str, str]:
        """The objective and the layer in `coterie ls tasks`."""

    @abstractmethod
    def details(self) -> list[tuple[str, str]]:
        """The label and value of each line about the specification in `coterie info`."""


class TaskPlan(Protocol):
    """A task before its model is loaded."""

    @property
    def spec(self) -> TaskSpec:
        """The specification that the plan was made from."""

    @property
    def name(self) -> str:
        """The specification's name."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that determines the task's results."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes results incomparable with published ones, and what was dropped from the data."""

    @property
    def query_counts(self) -> Mapping[str, int]:
        """The number of queries of each split."""

    def details(self) -> list[tuple[str, str]]:
        """The label and value of each line about the plan in `coterie info`."""

    def load(self, device: str = "cpu", progress: Callable[[str], None] = lambda _step: None) -> Task:
        """Load the games; `progress` receives a text at each step. Raises a `TaskError` if that fails."""


class Task(Protocol):
    """A loaded task. Methods see only `discovery`; everything else is for the judge."""

    @property
    def plan(self) -> TaskPlan:
        """The plan that the task was loaded from."""

    @property
    def name(self) -> str:
        """The specification's name."""

    @property
    def discovery(self) -> QueryGame:
        """The game that methods play."""

    @property
    def heldout(self) -> QueryGame:
        """The judge's game on other queries of the same domain."""

    @property
    def domains(self) -> Mapping[str, QueryGame]:
        """The judge's games by domain: `heldout` first, then the transfer domains."""

    @property
    def provides(self) -> frozenset[Provided]:
        """What the task offers to metrics beyond ablations."""

    @property
    def truth(self) -> tuple[tuple[int, ...], ...]:
        """The planted groups; empty if nothing is planted."""

    @property
    def qrels(self) -> Mapping[str, Qrels]:
        """The judgements of the splits whose candidates come from a run, by split."""

    @property
    def documents(self) -> Mapping[str, str]:
        """The documents, by id, over which term statistics are counted; empty for a task without texts."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """The plan's warnings, and those that only the scores reveal."""

    def info(self) -> dict[str, Any]:
        """What a reader of a result needs to know about the task, as the fields of `tracking.record.TaskInfo`."""
