"""A submission's claims, checked without scoring: is it of one method and one suite, complete, and possible?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from coterie.benchmark.protocol.settings import PROTOCOL
from coterie.benchmark.protocol.suites import SUITES, Suite
from coterie.benchmark.submissions.versions import version_differences
from coterie.leaderboard.entries.submission import CARD, MANIFEST, Discrepancy, Submission
from coterie.methods.base import MethodError, parse_selector
from coterie.methods.identity import code_hash
from coterie.methods.registry import get_method, list_methods
from coterie.tasks.game import Capability
from coterie.tasks.registry import list_tasks
from coterie.tracking.record import Record

FIRST_DATE = datetime(2026, 1, 1, tzinfo=UTC)  # coterie did not exist before this date
MOST_CLOCK_SKEW = timedelta(days=1)
_MOST_SECONDS = 30 * 24 * 3600
_MOST_BYTES = 2**43


def check_claims(found: Submission) -> Iterator[Discrepancy]:
    """Check a submission against its manifest, its suite and itself. Nothing is scored."""
    manifest = found.manifest
    if manifest is None:
        return
    if manifest.suite not in SUITES:
        yield Discrepancy(MANIFEST, "suite", f"one of {', '.join(SUITES)}", repr(manifest.suite))
        return
    suite = SUITES[manifest.suite]
    if manifest.seeds < suite.seeds:
        yield Discrepancy(MANIFEST, "seeds", f"at least the {suite.seeds} of {manifest.suite}", str(manifest.seeds))
    yield from _check_selector(manifest.selector, manifest.method)
    expected = {(task, seed) for task in suite.tasks for seed in range(manifest.seeds)}
    got = {(record.task_name, record.seed) for record in found.records.values()}
    for task, seed in sorted(expected - got):
        yield Discrepancy("records", f"{task}, seed {seed}", "a record of this cell", "none")
    for path, record in found.records.items():
        if (record.task_name, record.seed) not in expected:
            cell = f"{record.task_name}, seed {record.seed}"
            yield Discrepancy(path, "identity", f"a cell of {manifest.suite}, seeds below {manifest.seeds}", cell)
        yield from (Discrepancy(path, *problem) for problem in _record_problems(record, found, suite))
    for difference in version_differences(found.records.items()):
        expected_value = f"the same in all records: {difference.first}"
        yield Discrepancy(difference.label, difference.field, expected_value, str(difference.value))


def is_registered(record: Record) -> bool:
    """Whether the record's task is registered. An unregistered task is never looked up or read as a file."""
    return record.task_name.partition("[")[0] in list_tasks()


def _check_selector(selector: str, method: str) -> Iterator[Discrepancy]:
    try:
        name = parse_selector(selector)[0]
        known = name in list_methods()
        canonical = get_method(selector).selector if known else selector
    except MethodError as error:
        yield Discrepancy(MANIFEST, "selector", "name[parameter=value,...]", str(error))
        return
    if name != method:
        yield Discrepancy(MANIFEST, "selector", f"a selector of {method}", selector)
    if canonical != selector:
        yield Discrepancy(MANIFEST, "selector", canonical, selector)


def _record_problems(record: Record, found: Submission, suite: Suite) -> Iterator[tuple[str, str, str]]:
    identity, manifest, card = record.identity, found.manifest, found.card
    wanted = {
        "protocol": (PROTOCOL, identity.protocol),
        "settings": (suite.settings.model_dump(mode="json"), identity.settings),
        "budget": (suite.budget, identity.budget),
    }
    for name, (expected, got) in wanted.items():
        if expected != got:
            yield f"identity.{name}", str(expected), str(got)
    if manifest is not None and identity.method_name != manifest.method:
        yield "identity.method_name", manifest.method, identity.method_name
    if manifest is not None and record.method.selector != manifest.selector:
        yield "method.selector", manifest.selector, record.method.selector
    if not is_registered(record):
        yield "identity.task_name", "a registered task (coterie ls tasks)", identity.task_name
    if record.status not in ("ok", "skipped"):
        yield "status", "ok or skipped", f"{record.status}: {record.reason}"
    unknown = sorted(set(record.method.sees) - {capability.value for capability in Capability})
    if unknown:
        yield "method.sees", ", ".join(sorted(Capability)), ", ".join(unknown)
    if card is not None and sorted(card.sees) != sorted(record.method.sees):
        yield "method.sees", f"{sorted(card.sees)}, as in {CARD}", str(sorted(record.method.sees))
    if not FIRST_DATE <= record.when <= datetime.now(UTC) + MOST_CLOCK_SKEW:
        yield "date", f"a time between {FIRST_DATE.date()} and now", record.date
    yield from _method_problems(record)
    yield from _cost_problems(record)


def _method_problems(record: Record) -> Iterator[tuple[str, str, str]]:
    """Compare the record with the method itself, if it is registered."""
    cls = list_methods().get(record.method_name)
    if cls is None:
        return
    if record.identity.code_hash != code_hash(cls):
        yield "identity.code_hash", f"{code_hash(cls)}, the hash of this method's code", record.identity.code_hash
    try:
        method = cls.build(record.identity.parameters)
    except MethodError as error:
        yield "identity.parameters", "parameters of the method", str(error)
        return
    described = {
        "selector": (method.selector, record.method.selector),
        "sees": (sorted(c.value for c in method.sees), sorted(record.method.sees)),
        "reference": (method.reference, record.method.reference),
        "summary": (method.summary(), record.method.summary),
    }
    for name, (expected, got) in described.items():
        if expected != got:
            yield f"method.{name}", str(expected), str(got)


def _cost_problems(record: Record) -> Iterator[tuple[str, str, str]]:
    """Refuse impossible costs. Only running the method would show whether possible ones are true."""
    cost = record.cost
    if cost is None:
        return
    kinds, allowed = set(cost.evaluations), set(record.method.sees)
    if not kinds <= allowed:
        yield "cost.evaluations", f"kinds that the method sees: {sorted(allowed)}", str(sorted(kinds - allowed))
    if any(count < 0 for count in cost.evaluations.values()):
        yield "cost.evaluations", "no negative numbers", str(cost.evaluations)
    if sum(cost.evaluations.values()) > record.identity.budget:
        yield "cost.evaluations", f"at most the budget, {record.identity.budget}", str(sum(cost.evaluations.values()))
    for name in ("discovery_seconds", "scoring_seconds"):
        seconds = getattr(cost, name)
        if not (math.isfinite(seconds) and 0 <= seconds <= _MOST_SECONDS):
            yield f"cost.{name}", f"0 to {_MOST_SECONDS} s", str(seconds)
    if not 0 < cost.peak_memory_bytes <= _MOST_BYTES:
        yield "cost.peak_memory_bytes", f"1 to {_MOST_BYTES}", str(cost.peak_memory_bytes)
