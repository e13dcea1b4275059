"""A record as MLflow's parameters, metrics, tags and dataset: plain values within MLflow's limits. Imports no MLflow."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from coterie.tracking.record import Measure, Record, flat_parameters

PARAMETER_CHARACTERS = 6000  # MLflow silently truncates longer values
KEY_CHARACTERS = 250
TAG_CHARACTERS = 2000  # MLflow accepts 8,000, too long for a list of tags; the record has the whole text
DATASET_DIGEST_CHARACTERS = 36
IN_RECORD_ONLY = "see record.json: {} characters are more than MLflow keeps"
CURVE_POINTS = 1000  # more than a chart can show; longer curves are thinned evenly, keeping the last point

IDENTITY_TAG = "coterie.identity"
STATUS_TAG = "coterie.status"
KIND_TAG = "coterie.kind"
PROCESS_TAG = "coterie.process"
DATE_TAG = "coterie.date"
RUN_TAG = "coterie.run"
NUMBER_TAG = "coterie.run_number"
SAMPLES_TAG = "coterie.system_samples"

_KEY = re.compile(r"[A-Za-z0-9_]([/\w.\- ]*[\w\-])?", re.ASCII)

RUN_STATUS = {"ok": "FINISHED", "skipped": "FINISHED", "failed": "FAILED", "timeout": "FAILED"}


@dataclass(frozen=True)
class DatasetFields:
    """An MLflow dataset: the task's data."""

    name: str
    """Name of the task."""
    digest: str
    """First characters of the task's fingerprint."""
    source: str
    """Collection revision and task fingerprint, as JSON."""
    profile: str
    """Number of queries by split or domain, as JSON."""


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    name: str
    """Name of the metric."""
    value: float
    """Its value."""
    timestamp: int
    """When it was measured, in milliseconds since 1970."""
    step: int = 0
    """Step of the curve that it belongs to."""


def usable_key(name: str) -> bool:
    """Whether MLflow accepts `name` for a parameter or metric on every system; some stores use it as a path."""
    return len(name) <= KEY_CHARACTERS and bool(_KEY.fullmatch(name)) and not re.search(r"//|(^|/)\.\.?(/|$)", name)


def parameters(record: Record) -> dict[str, str]:
    """Parameters by name. A value too long for MLflow becomes a pointer to the record, which is logged as an artifact.

    A name that MLflow refuses is omitted; `left_out` lists it.
    """
    return plain_parameters(flat_parameters(record))


def plain_parameters(values: dict[str, Any]) -> dict[str, str]:
    """Any values as parameters: text unchanged, everything else as JSON, with the same limits."""
    texts = {name: _text(value) for name, value in values.items() if usable_key(name)}
    return {
        name: text if len(text) <= PARAMETER_CHARACTERS else IN_RECORD_ONLY.format(f"{len(text):,}")
        for name, text in texts.items()
    }


def left_out(record: Record) -> list[str]:
    """The names of parameters, metrics and curves that MLflow refuses."""
    _, unusable = _curves(record)
    names = [*flat_parameters(record), *_all_metrics(record)]
    return [*(name for name in names if not usable_key(name)), *unusable]


def metrics(record: Record) -> dict[str, float]:
    """Every measured number: `<metric>/<domain>` with `_low` and `_high` (95 %), and the cost of the cell."""
    return {name: value for name, value in _all_metrics(record).items() if usable_key(name)}


def points(record: Record) -> list[Point]:
    """Every number as MLflow charts it: metrics at step 0, and curves from the notes at their steps."""
    _, end = times(record)
    curves, _ = _curves(record)
    steps = [Point(name, value, end, step) for name, curve in curves.items() for step, value in curve]
    return [*(Point(name, value, end) for name, value in metrics(record).items()), *steps]


def _curves(record: Record) -> tuple[dict[str, list[tuple[int, float]]], list[str]]:
    """The curves `notes["curves"] = {name: [[step, value], ...]}` as metrics `curve/<name>`, and the unusable names.

    A method can use curves to report how it converges. Steps are whole numbers (evaluations, rounds), values are finite.
    """
    notes = record.coalitions.notes.get("curves") if record.coalitions else None
    if notes is None:
        return {}, []
    if not isinstance(notes, dict):
        return {}, ["notes.curves"]
    curves: dict[str, list[tuple[int, float]]] = {}
    unusable = []
    for name, raw in notes.items():
        curve = _curve(raw)
        if curve is None or not usable_key(f"curve/{name}"):
            unusable.append(f"curve/{name}")
        else:
            curves[f"curve/{name}"] = curve
    return curves, unusable


def _curve(raw: Any) -> list[tuple[int, float]] | None:
    """The thinned curve; None if the value is not a curve."""
    if not isinstance(raw, list) or not all(isinstance(p, list) and len(p) == 2 and _is_point(*p) for p in raw):
        return None
    stride = max(1, math.ceil(len(raw) / CURVE_POINTS))
    return [(step, float(value)) for step, value in raw[::-1][::stride][::-1]]


def _is_point(step: Any, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return type(step) is int and abs(step) < 2**62 and number


def _all_metrics(record: Record) -> dict[str, float]:
    found: dict[str, float | None] = {}
    for measure in record.scores:
        key = _measure_key(measure)
        found |= {key: measure.value, f"{key}_low": measure.low, f"{key}_high": measure.high}
    if record.cost is not None:
        found |= {f"cost/evaluations_{kind}": float(n) for kind, n in record.cost.evaluations.items()}
        found["cost/evaluations"] = float(sum(record.cost.evaluations.values()))
        found["cost/discovery_seconds"] = record.cost.discovery_seconds
        found["cost/scoring_seconds"] = record.cost.scoring_seconds
        found["cost/peak_memory_bytes"] = float(record.cost.peak_memory_bytes)
    return {name: value for name, value in found.items() if value is not None}


def _measure_key(measure: Measure) -> str:
    """`metric/domain`; characters of the domain that MLflow refuses become dashes, followed by a hash of the domain."""
    if usable_key(measure.key) and usable_key(f"{measure.key}_high"):
        return measure.key
    plain = re.sub(r"[^\w.-]+", "-", measure.domain, flags=re.ASCII).strip("-.")
    return f"{measure.metric}/{plain}-{hashlib.sha256(measure.domain.encode()).hexdigest()[:8]}".replace("/-", "/")


def tags(record: Record) -> dict[str, str]:
    """The tags that identify a run. MLflow's pages show the first three as source and version."""
    identity, environment = record.identity, record.environment
    found = {
        "mlflow.source.name": "coterie",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": environment.git_hash,
        KIND_TAG: "cell",
        IDENTITY_TAG: record.identity_digest,
        STATUS_TAG: record.status,
        "coterie.reason": record.reason,
        "coterie.version": environment.coterie_version,
        "coterie.git_hash": environment.git_hash,
        "coterie.protocol": identity.protocol,
        "coterie.task_fingerprint": identity.task_fingerprint,
        "coterie.dataset_revision": record.task.dataset_revision,
        "coterie.model": record.task.reranker,
        "coterie.model_hash": record.task.model_hash,
        "coterie.model_revision": record.task.revision,
        "coterie.method_code_hash": identity.code_hash,
        "coterie.device": environment.device,
        DATE_TAG: record.date,
        "coterie.left_out": ", ".join(left_out(record)),
    }
    return {name: _truncate(value, TAG_CHARACTERS) for name, value in found.items() if value}


def dataset(record: Record) -> DatasetFields:
    """The task's data, identified by collection revision and task fingerprint."""
    source = {"dataset_revision": record.task.dataset_revision, "task_fingerprint": record.identity.task_fingerprint}
    return DatasetFields(
        name=record.task_name,
        digest=record.identity.task_fingerprint[:DATASET_DIGEST_CHARACTERS],
        source=json.dumps(source),
        profile=json.dumps({"queries": record.task.queries}),
    )


def run_name(record: Record) -> str:
    """`<method> on <task>, seed <n>`."""
    return _truncate(f"{record.method.selector} on {record.task_name}, seed {record.seed}", KEY_CHARACTERS)


def times(record: Record) -> tuple[int, int]:
    """Start and end of the cell in milliseconds since 1970. It ended at the record's date, after the time that it took."""
    end = milliseconds(record.when)
    seconds = record.failure.seconds if record.failure else 0.0
    if record.cost is not None:
        seconds = record.cost.discovery_seconds + record.cost.scoring_seconds
    return end - round(seconds * 1000), end


def milliseconds(moment: datetime) -> int:
    """The moment in milliseconds since 1970, as MLflow stores it."""
    return round(moment.timestamp() * 1000)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _truncate(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
