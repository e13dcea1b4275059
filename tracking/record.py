"""The record: everything measured for one cell of the grid (task x method x seed).

A record is self-contained: it states what determined the result (its identity), includes the coalitions, so that anyone can
score them again without running the method, and gives the unit, direction and variation over queries of every number.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from coterie.tracking.uris import without_secrets

SCHEMA_VERSION: Final = 1

_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._-]{0,63})?$"
Name = Annotated[str, Field(pattern=_NAME)]
# A task may be named after a reranker on the hub, with what was changed in brackets: Qwen/Qwen3-Reranker-0.6B[layer=1]
_TASK_NAME = _NAME[:-1].replace("[a-z0-9", "[A-Za-z0-9") + r"(\[[a-z0-9=:,._-]{1,120}\])?$"
TaskName = Annotated[str, Field(pattern=_TASK_NAME)]
# A domain has the name of its folder: any printable characters except the slash, which separates it from the metric
_DOMAIN_NAME = r"^[^\p{C}\p{Z}/]([^\p{C}\p{Zl}\p{Zp}/]{0,98}[^\p{C}\p{Z}/])?$"
DomainName = Annotated[str, Field(pattern=_DOMAIN_NAME)]
Status = Literal["ok", "skipped", "failed", "timeout"]
ResultKey = tuple[str, str, str]  # identity digest, status, date: one result of one cell

BROKEN: Final = ("failed", "timeout")  # the statuses of a cell that went wrong


def is_name(text: str) -> bool:
    """Whether the text is a valid name of a task, method or metric, and thus safe as part of a path."""
    return bool(re.fullmatch(_TASK_NAME[1:-1], text))


class Strict(BaseModel):
    """A frozen model that rejects unknown fields and non-finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Identity(Strict):
    """Everything that determines a cell's result. A cell with the digest of a stored record need not run again."""

    protocol: str
    """Name and version of the scoring protocol."""
    settings: dict[str, JsonValue]
    """Settings of the protocol by name."""
    task_name: TaskName
    """Name of the task, with the changed fields in brackets."""
    task_fingerprint: str
    """SHA-256 of everything that determines the task: data, weights and specification."""
    method_name: Name
    """Registered name of the method, without parameters."""
    parameters: dict[str, JsonValue]
    """All parameters of the method by name, defaults included."""
    code_hash: str
    """Hash of the source code that the method runs."""
    budget: int
    """Evaluations that the method may spend."""
    seed: int
    """Seed of the method's random numbers and of the random controls."""

    def digest(self) -> str:
        """SHA-256 of the canonical JSON (sorted keys, no spaces)."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


class Measure(Strict):
    """One metric on one set of queries.

    The ranked number is `value = sum(numerator) / sum(denominator)` over queries. With a denominator of ones this is a
    plain mean over queries; R2 needs the ratio. If nothing could be computed, the numbers are null and `reason` says why.
    """

    metric: Name
    """Name of the metric."""
    domain: DomainName
    """Name of the query set."""
    unit: str
    """Unit of the value and its bounds."""
    higher_is_better: bool
    """Whether larger values are better."""
    primary: bool
    """Whether the value counts towards the ranking."""
    value: float | None
    """The method's own value minus that of size-matched random controls, if the metric has controls."""
    low: float | None
    """Lower bound of the 95 % interval over queries."""
    high: float | None
    """Upper bound of the 95 % interval over queries."""
    method_value: float | None
    """The method's own value."""
    control_value: float | None
    """Value of the random controls; null if the metric has none."""
    numerator: list[float] = []
    """Numerator per query, kept for paired tests between methods on the same queries."""
    denominator: list[float] = []
    """Denominator per query, in the order of the numerator."""
    reason: str | None = None
    """Why there is no value; null if there is one."""
    meaning: str = ""
    """One line for legends."""
    noise_floor: float | None = None
    """What the computation returns if the true value is zero."""
    discovery_value: float | None = None
    """`method_value` on the queries that the method could use."""
    curve: list[tuple[float, float, float]] = []
    """Rows of (x, method, control)."""
    note: str = ""
    """How the number was obtained."""

    @model_validator(mode="after")
    def _consistent(self) -> Measure:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"{self.metric}/{self.domain}: expected either a value or a reason why there is none")
        if len(self.numerator) != len(self.denominator):
            raise ValueError(f"{self.metric}/{self.domain}: numerator and denominator differ in length")
        return self

    @property
    def key(self) -> str:
        """`metric/domain`, as in tables and in MLflow."""
        return f"{self.metric}/{self.domain}"


class Cost(Strict):
    """What a cell cost."""

    evaluations: dict[str, int]
    """Evaluations by kind. One evaluation is one pass over all pairs of the discovery game."""
    discovery_seconds: float
    """Seconds in which the method proposed its coalitions."""
    scoring_seconds: float
    """Seconds in which they were scored."""
    peak_memory_bytes: int
    """Largest resident memory of the process."""


class Failure(Strict):
    """What is known about a cell that failed or ran out of time."""

    phase: str
    """The step that was running."""
    seconds: float
    """Seconds until it failed."""
    peak_memory_bytes: int | None = None
    """Largest resident memory of the process; null if unknown."""
    evaluations: dict[str, int] = {}
    """Evaluations spent by then, by kind."""
    exit_code: int | None = None
    """Exit code of a process that ended, negative for the number of the signal that ended it; null if it did not end."""


class CoalitionSet(Strict):
    """The method's coalitions as plain numbers."""

    n_players: int
    """Number of players of the task."""
    groups: list[list[int]]
    """Player numbers of each coalition, strongest coalition first."""
    notes: dict[str, JsonValue] = {}
    """What the method reports beyond its coalitions; `curves` are drawn in MLflow."""


class MethodInfo(Strict):
    """What a reader needs to know about the method."""

    selector: str
    """Name with the parameters that differ from the defaults: `name[parameter=value]`."""
    sees: list[str]
    """Capabilities of the game that the method uses, sorted."""
    reference: str
    """The paper or other source of the method."""
    summary: str
    """What the method does, in one line."""


class TaskInfo(Strict):
    """What a reader needs to know about the task: its reranker, layer and data, and anything that limits comparison."""

    dataset_revision: str
    """Revision of the collections."""
    model_hash: str
    """Hash of the reranker's weights."""
    architecture: str
    """Class of the reranker's model."""
    objective: str
    """What the reranker was trained for."""
    layer: int | None
    """Layer whose units are ablated, from 0; null for a planted game without layers."""
    intervention: str
    """What replaces the activation of an ablated unit."""
    readout: str
    """Where outputs are read: the final score, or the logit lens after the layer."""
    n_players: int
    """Number of units in the layer that can be ablated."""
    queries: dict[str, int]
    """Number of queries by split or domain."""
    ndcg_at_10: dict[str, float]
    """nDCG@10 of the intact reranker, by split or domain."""
    r2: dict[str, float] = {}
    """R2 of the intact reranker's scores against the objective, by split; only for objectives that predict a number."""
    spearman: dict[str, float] = {}
    """Spearman correlation of the same, by split."""
    players: str = "neurons"
    """Which units are the players: neurons, experts, or the neurons of one expert."""
    dtype: str = "float32"
    """Floating-point type of the weights."""
    attention: str | None = None
    """The attention implementation of the library; null if unknown."""
    revision: str | None = None
    """Revision of the reranker on the hub; null if it has none."""
    reranker: str | None = None
    """Hub ids of base and adapter, or the last two parts of their folders; null if there is no reranker."""
    warnings: list[str] = []
    """What makes this task's numbers less comparable, one sentence each."""


class Environment(Strict):
    """Where and with what the cell ran."""

    coterie_version: str
    """Version of coterie."""
    git_hash: str | None
    """Commit of coterie's checkout, with `+changes` if files differ from it; null for an installed wheel."""
    python: str
    """Version of Python."""
    packages: dict[str, str]
    """Versions of the packages that matter for the numbers."""
    platform: str
    """Operating system and processor."""
    device: str
    """Device of the reranker: cpu, cuda or mps."""
    threads: int
    """Threads of torch."""


class Record(Strict):
    """One finished cell. An `ok` record has scores, coalitions and a cost; every other one has a reason."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this format."""
    identity: Identity
    """Everything that determines the result."""
    identity_digest: str
    """SHA-256 of the identity, in hexadecimal."""
    date: str
    """When the record was made, in ISO 8601."""
    status: Status
    """Whether the cell finished (`ok`), did not apply (`skipped`), raised or crashed (`failed`), or took too long."""
    reason: str | None = None
    """Why the status is not `ok`, in one line."""
    trace: str | None = None
    """Traceback, or the last output of the process."""
    failure: Failure | None = None
    """Details of a failure or timeout."""
    task: TaskInfo
    """What a reader needs to know about the task."""
    method: MethodInfo
    """What a reader needs to know about the method."""
    environment: Environment
    """Where and with what the cell ran."""
    cost: Cost | None = None
    """What the cell cost; null unless `status` is `ok`."""
    coalitions: CoalitionSet | None = None
    """What the method proposed; null unless `status` is `ok`."""
    scores: list[Measure] = []
    """One measure per metric and domain; empty unless `status` is `ok`."""

    @field_validator("reason", "trace")
    @classmethod
    def _without_secrets(cls, text: str | None) -> str | None:
        """Remove secrets: an error's text may quote a URI with its password or a token from the environment."""
        return text and without_secrets(text)

    @field_validator("schema_version", mode="before")
    @classmethod
    def _current(cls, found: object) -> object:
        """The one place to migrate old records. Version 1 is the first, so nothing needs to be migrated yet."""
        if found != SCHEMA_VERSION:
            raise ValueError(
                f"expected schema version {SCHEMA_VERSION}, got {found!r}, which cannot be migrated; fix: run the cell "
                "again, or read it with the version of coterie that wrote it"
            )
        return found

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        try:
            datetime.fromisoformat(self.date)
        except ValueError as error:
            raise ValueError(f"date: expected ISO 8601, got {self.date!r}") from error
        if self.identity_digest != self.identity.digest():
            raise ValueError("identity_digest: differs from the digest of `identity`; the record was edited by hand")
        if self.status == "ok" and (self.coalitions is None or self.cost is None):
            raise ValueError("status ok: expected coalitions and cost")
        if self.status != "ok" and not self.reason:
            raise ValueError(f"status {self.status}: expected a reason")
        return self

    @property
    def when(self) -> datetime:
        """The date as a moment in UTC; a date without a zone is read as UTC."""
        moment = datetime.fromisoformat(self.date)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    @property
    def task_name(self) -> str:
        return self.identity.task_name

    @property
    def method_name(self) -> str:
        return self.identity.method_name

    @property
    def seed(self) -> int:
        return self.identity.seed

    @property
    def result_key(self) -> ResultKey:
        """What distinguishes this result from all others, including other results of the same cell."""
        return self.identity_digest, self.status, self.date

    def score(self, key: str) -> Measure | None:
        """The measure with this `metric/domain` key; None if the record lacks it."""
        return next((m for m in self.scores if m.key == key), None)

    def to_json(self) -> str:
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Record:
        """Parse and check a record. Raises `ValidationError`."""
        return cls.model_validate_json(text)


def flat_parameters(record: Record) -> dict[str, Any]:
    """The record's parameters under short names, as MLflow and tables show them."""
    identity = record.identity
    return {
        "task_name": identity.task_name,
        "method_name": identity.method_name,
        "seed": identity.seed,
        "budget": identity.budget,
        "protocol": identity.protocol,
        **{f"method.{name}": value for name, value in identity.parameters.items()},
    }
