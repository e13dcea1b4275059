"""The record: one cell of the grid (task x method x seed) with everything that was measured. The last of the four types.

A record stands alone: it names what it is (identity), carries the coalitions themselves, so that anybody can re-score
them without running the method, and says of each number its unit, its direction and how it varies over queries.
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
# A task's name may be a reranker's on the hub, and say what was changed: Qwen/Qwen3-Reranker-0.6B[layer=1]
_TASK_NAME = _NAME[:-1].replace("[a-z0-9", "[A-Za-z0-9") + r"(\[[a-z0-9=:,._-]{1,120}\])?$"
TaskName = Annotated[str, Field(pattern=_TASK_NAME)]
# A domain is named as its folder is: any printable characters but the slash, which parts it from the metric
_DOMAIN = r"^[^\p{C}\p{Z}/]([^\p{C}\p{Zl}\p{Zp}/]{0,98}[^\p{C}\p{Z}/])?$"
Domain = Annotated[str, Field(pattern=_DOMAIN)]
Status = Literal["ok", "skipped", "failed", "timeout"]


def is_name(text: str) -> bool:
    """Whether the text can name a task, a method or a metric, and so be part of a path."""
    return bool(re.fullmatch(_TASK_NAME[1:-1], text))


class Strict(BaseModel):
    """Frozen; unknown fields and non-finite numbers are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Identity(Strict):
    """Everything that determines a cell's result. Equal digests mean: no need to run it again."""

    protocol: str
    settings: dict[str, JsonValue]
    task_name: TaskName
    task_fingerprint: str
    method_name: Name
    parameters: dict[str, JsonValue]
    code_hash: str
    budget: int
    seed: int

    def digest(self) -> str:
        """SHA-256 of the canonical JSON (sorted keys, no spaces)."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


class Measure(Strict):
    """One metric on one set of queries.

    ``value = sum(numerator) / sum(denominator)`` over queries is what is ranked: the method's own value minus that of
    size-matched random controls where the metric has them. With a denominator of ones this is a plain mean over
    queries; R2 needs the ratio. The arrays are kept for paired tests between methods on the same queries.
    Where nothing could be computed the numbers are null and ``reason`` says why. ``meaning`` is one line for legends.
    ``noise_floor``: what the computation gives where the truth is zero. ``discovery_value``: ``method_value`` on the
    queries that the method has seen. ``curve``: rows (x, method, control). ``note``: how the number came about.
    """

    metric: Name
    domain: Domain
    unit: str
    higher_is_better: bool
    primary: bool
    value: float | None
    low: float | None
    high: float | None
    method_value: float | None
    control_value: float | None
    numerator: list[float] = []
    denominator: list[float] = []
    reason: str | None = None
    meaning: str = ""
    noise_floor: float | None = None
    discovery_value: float | None = None
    curve: list[tuple[float, float, float]] = []
    note: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Measure:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"{self.metric}/{self.domain}: expected either a value or a reason why there is none")
        if len(self.numerator) != len(self.denominator):
            raise ValueError(f"{self.metric}/{self.domain}: numerator and denominator differ in length")
        return self

    @property
    def key(self) -> str:
        """``metric/domain``, as in tables and in MLflow."""
        return f"{self.metric}/{self.domain}"


class Cost(Strict):
    """What a cell cost: evaluations by kind (one = one pass over all pairs of the discovery game), seconds, bytes."""

    evaluations: dict[str, int]
    discovery_seconds: float
    scoring_seconds: float
    peak_memory_bytes: int


class Failure(Strict):
    """What is known of a cell that failed or ran out of time: where it was, and what it had cost by then.

    ``exit_code`` is there where its process ended: negative for the number of the signal that ended it.
    """

    phase: str
    seconds: float
    peak_memory_bytes: int | None = None
    evaluations: dict[str, int] = {}
    exit_code: int | None = None


class CoalitionSet(Strict):
    """The coalitions of the method, strongest first, as plain numbers."""

    n_players: int
    groups: list[list[int]]
    notes: dict[str, JsonValue] = {}


class MethodInfo(Strict):
    """What a reader must know of the method: what it saw, where it comes from."""

    selector: str
    sees: list[str]
    reference: str
    summary: str


class TaskInfo(Strict):
    """What a reader must know of the task: its reranker, layer, data and anything that makes it not comparable."""

    dataset_revision: str
    model_hash: str
    architecture: str
    objective: str
    layer: int
    intervention: str
    readout: str
    n_players: int
    queries: dict[str, int]
    ndcg_at_10: dict[str, float]
    r2: dict[str, float] = {}
    spearman: dict[str, float] = {}
    players: str = "neurons"
    dtype: str = "float32"
    attention: str | None = None
    revision: str | None = None
    reranker: str | None = None
    warnings: list[str] = []


class Environment(Strict):
    """Where and with what the cell ran."""

    coterie_version: str
    git_hash: str | None
    python: str
    packages: dict[str, str]
    platform: str
    device: str
    threads: int


class Record(Strict):
    """One cell. ``scores`` and ``coalitions`` are there when ``status`` is ``ok``, ``reason`` when it is not."""

    schema_version: Literal[1] = SCHEMA_VERSION
    identity: Identity
    identity_digest: str
    date: str
    status: Status
    reason: str | None = None
    trace: str | None = None
    failure: Failure | None = None
    task: TaskInfo
    method: MethodInfo
    environment: Environment
    cost: Cost | None = None
    coalitions: CoalitionSet | None = None
    scores: list[Measure] = []

    @field_validator("reason", "trace")
    @classmethod
    def _without_secrets(cls, text: str | None) -> str | None:
        """An error's text may quote a URI with its password or a token from the environment: no record keeps one."""
        return text and without_secrets(text)

    @field_validator("schema_version", mode="before")
    @classmethod
    def _current(cls, found: object) -> object:
        """The one place where old records would be migrated. Version 1 is the first: there is nothing to migrate yet."""
        if found != SCHEMA_VERSION:
            raise ValueError(
                f"expected schema version {SCHEMA_VERSION}, got {found!r}; no migration leads from it; fix: run the cell "
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
        """The moment the record was made (``date``), in UTC; a date without a zone is read as UTC."""
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

    def score(self, key: str) -> Measure | None:
        """The measure with this ``metric/domain`` key, if there is one."""
        return next((m for m in self.scores if m.key == key), None)

    def to_json(self) -> str:
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Record:
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
