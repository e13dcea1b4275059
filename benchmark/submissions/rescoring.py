"""Re-scoring: judge the submitted coalitions again from scratch, and compare every number.

Three kinds of number are compared, each as strictly as possible:

1. *Within a record*: the value is the quotient of its per-query arrays, and the interval is their bootstrap (same seed, same
   resamples). This is float64 arithmetic on the numbers in the file: 1e-9, relative.
2. *Synergies* (in 0.001 sd of scores), against the new scores. They are differences of float32 scores, and rounding affects
   them differently depending on which ablations shared a batch. The size of this effect is the task's noise floor, the
   largest of its synergy metrics. A mean may differ by `FLOORS` floors, a single query by sqrt(queries) times as many: errors
   of queries are independent, so a mean of Q varies sqrt(Q) times less. Measured on pydoc-llama/relevance, with three methods
   scored in both orders: means differ by up to 2 floors, queries by 0.4 sqrt(Q) floors; `FLOORS` leaves room
   for other processors. `synergy_ratio` has no floor and another unit: `RATIO` for a mean (measured: 4e-6).
3. *Everything else* (nDCG, R2, shares, indices) depends on ranks, fits and counts. Rounding changes nothing there or, at a
   tie, one query visibly: `RELATIVE` relative, or `ABSOLUTE` for small values. Fits spread rounding, first into single
   queries, which may differ by `SINGLE` of the largest value of their array. Measured on the published board: no difference
   between two orders of scoring; between one thread and two, means differ by 3e-9 and single queries by up to 1e-5 of their
   value. A tie that is broken differently on another processor is reported with its query and numbers. Equal inputs have
   equal scores, so ties occur only between different inputs.

Cost is not compared: measuring it again would require running the method.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from coterie.benchmark.errors import user_errors
from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.metrics.synergy import UNIT as SYNERGY_UNIT
from coterie.benchmark.protocol.metrics.synergy import Ratio
from coterie.benchmark.protocol.scoring import score
from coterie.benchmark.protocol.settings import Settings
from coterie.leaderboard.entries.submission import Discrepancy
from coterie.leaderboard.statistics.bootstrap import bootstrap_weights, ratio_interval
from coterie.methods.coalitions import Coalitions
from coterie.tasks.kinds import plan_task
from coterie.tasks.registry import get_task_spec
from coterie.tasks.task import Task
from coterie.tracking.record import Measure, Record, TaskInfo

INSIDE = 1e-9
FLOORS = 10.0
RATIO = 1e-4
RELATIVE, ABSOLUTE = 1e-6, 1e-9
SINGLE = 3e-5
TOLERANCE = {
    "within a record": f"{INSIDE:g} relative",
    "synergies": f"{FLOORS:g} noise floors of the task ({RATIO:g} for ratios); a single query sqrt(queries) times that",
    "other metrics": f"{RELATIVE:g} relative, {ABSOLUTE:g} absolute; a single query {SINGLE:g} of its array's largest",
}

_EXACT = ("unit", "higher_is_better", "primary", "reason", "meaning")
_NUMBERS = ("value", "low", "high", "method_value", "control_value", "discovery_value", "noise_floor")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
_MOST_ROWS_NAMED = 3  # of an array

Problem = tuple[str, str, str]
"""Field, expected, got."""


@dataclass
class Compared:
    """How much was compared, and how exactly it agreed."""

    numbers: int = 0
    """Number of values that were compared."""
    cells: int = 0
    """Number of cells that were scored again."""
    largest: dict[str, float] = field(default_factory=dict)
    """Kind of number -> the largest difference within its tolerance."""

    def note(self, kind: str, difference: float) -> None:
        """Count a value that agrees."""
        self.numbers += 1
        self.largest[kind] = max(self.largest.get(kind, 0.0), difference)


@dataclass
class Rescored:
    """The records of one submission, and the outcome of scoring them again."""

    records: dict[str, Record]
    """Path -> record."""
    compared: Compared = field(default_factory=Compared)
    """How much was compared."""
    problems: list[Discrepancy] = field(default_factory=list)
    """The numbers that differ."""

    def on(self, task_name: str) -> dict[str, Record]:
        """The records of one task, by path."""
        return {path: record for path, record in self.records.items() if record.task_name == task_name}


def check_scores(submissions: Sequence[Rescored], device: str, progress: Callable[[str], None]) -> None:
    """Score every record again, task by task, so that all submissions share what the judge computes on a task.

    The tasks must be registered and the settings valid. If a task cannot be loaded, its records get a problem.
    """
    for name in sorted({record.task_name for submission in submissions for record in submission.records.values()}):
        concerned = [submission for submission in submissions if submission.on(name)]
        progress(f"{name}: {sum(len(submission.on(name)) for submission in concerned)} records")
        try:
            plan = plan_task(get_task_spec(name))
            task = plan.load(device)
        except user_errors() as error:
            for submission in concerned:
                expected = f"task {name} to load on this machine, to score its records again"
                submission.problems.append(Discrepancy("records", "", expected, str(error)))
            continue
        benches: dict[str, Bench] = {}
        for submission in concerned:
            for path, record in submission.on(name).items():
                settings = Settings.model_validate(record.identity.settings)
                key = settings.model_dump_json()
                if key not in benches:
                    benches[key] = Bench(task, settings)
                found = _check_record(record, plan.fingerprint, task, benches[key], submission.compared)
                submission.problems += (Discrepancy(path, *problem) for problem in found)


def _check_record(record: Record, fingerprint: str, task: Task, bench: Bench, compared: Compared) -> Iterator[Problem]:
    if record.identity.task_fingerprint != fingerprint:
        yield "identity.task_fingerprint", fingerprint, record.identity.task_fingerprint
        return
    compared.cells += 1
    yield from _check_task(record, task)
    if record.status == "skipped":
        available = {capability.value for capability in task.discovery.capabilities}
        if set(record.method.sees) <= available:
            expected = f"ok: the task has everything that the method sees ({sorted(record.method.sees)})"
            yield "status", expected, "skipped"
        return
    if record.coalitions is None:
        return
    if record.coalitions.n_players != bench.n_players:
        yield "coalitions.n_players", str(bench.n_players), str(record.coalitions.n_players)
        return
    try:
        coalitions = Coalitions.of(bench.n_players, record.coalitions.groups)
    except ValueError as error:
        yield "coalitions.groups", "valid coalitions", str(error)
        return
    yield from compare(record.scores, score(bench, coalitions, record.seed), bench.settings, compared)


def _check_task(record: Record, task: Task) -> Iterator[Problem]:
    """Compare what the record says about its task; measures of quality may differ by rounding."""
    expected, got = TaskInfo.model_validate(task.info()).model_dump(), record.task.model_dump()
    for name, value in expected.items():
        other = got[name]
        if name in ("ndcg_at_10", "r2", "spearman"):
            same = value.keys() == other.keys() and all(math.isclose(value[k], other[k], rel_tol=1e-4) for k in value)
        else:
            same = value == other
        if not same:
            yield f"task.{name}", str(value), str(other)


def compare(
    got: Sequence[Measure], fresh: Sequence[Measure], settings: Settings, compared: Compared
) -> Iterator[Problem]:
    """Every difference between the measures of a record and those of the same coalitions scored again."""
    floor = max((m.noise_floor or 0.0 for m in fresh), default=0.0)
    keys, wanted = [measure.key for measure in got], {measure.key: measure for measure in fresh}
    for key in sorted(set(keys) ^ wanted.keys()):
        yield f"scores.{key}", *(("a measure", "none") if key in wanted else ("no such measure", "one"))
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"scores.{key}", "one measure", str(keys.count(key))
    for measure in got:
        if measure.key in wanted:
            for where, expected, value in (
                *_inside(measure, settings),
                *_against(measure, wanted[measure.key], floor, compared),
            ):
                yield f"scores.{measure.key}.{where}", expected, value


def _inside(measure: Measure, settings: Settings) -> Iterator[Problem]:
    """Compare the value and its interval with the record's own per-query arrays."""
    total = sum(measure.denominator)
    if not measure.numerator or measure.value is None or total == 0:
        return
    numerator, denominator = np.array(measure.numerator), np.array(measure.denominator)
    weights = bootstrap_weights(len(numerator), settings.resamples, settings.seed)
    interval = ratio_interval(numerator, denominator, weights)
    recomputed = {"value": sum(measure.numerator) / total, "low": interval.low, "high": interval.high}
    for name, expected in recomputed.items():
        if not _close(getattr(measure, name), expected, INSIDE, INSIDE):
            yield name, f"{_number(expected)}, computed from its per-query arrays", _number(getattr(measure, name))
    if measure.method_value is not None and measure.control_value is not None:
        difference = measure.method_value - measure.control_value
        if not _close(difference, recomputed["value"], 1e-6, 1e-6):
            yield "method_value", f"control_value + {_number(measure.value)}", _number(measure.method_value)


def _against(got: Measure, fresh: Measure, floor: float, compared: Compared) -> Iterator[Problem]:
    for name in _EXACT:
        if getattr(got, name) != getattr(fresh, name):
            yield name, repr(getattr(fresh, name)), repr(getattr(got, name))
    if _NUMBER.sub("#", got.note) != _NUMBER.sub("#", fresh.note):
        yield "note", repr(fresh.note), repr(got.note)
    kind, absolute = "other metrics", ABSOLUTE
    if fresh.unit == SYNERGY_UNIT:
        kind, absolute = "synergies", max(FLOORS * floor, ABSOLUTE)
    elif fresh.metric == Ratio.name:
        kind, absolute = "synergies", RATIO
    for name in _NUMBERS:
        expected, value = getattr(fresh, name), getattr(got, name)
        if not _close(value, expected, RELATIVE, absolute):
            yield name, _number(expected), _number(value)
        elif expected is not None:
            compared.note(kind, abs(expected - value))
    yield from _arrays(got, fresh, absolute, kind, compared)


def _arrays(got: Measure, fresh: Measure, absolute: float, kind: str, compared: Compared) -> Iterator[Problem]:
    for name in ("numerator", "denominator", "curve"):
        expected, values = (np.array(getattr(measure, name), dtype=float) for measure in (fresh, got))
        if expected.shape != values.shape:
            yield name, f"{len(expected)} rows", f"{len(values)}"
            continue
        single = absolute * math.sqrt(max(1, len(expected)))
        if kind == "other metrics":
            single = max(single, SINGLE * float(np.abs(expected).max(initial=0.0)))
        close = np.isclose(values, expected, rtol=RELATIVE, atol=single)
        wrong = np.flatnonzero(~close.all(axis=1) if close.ndim == 2 else ~close)
        for row in wrong[:_MOST_ROWS_NAMED]:
            yield f"{name}[{row}]", str(expected[row]), str(values[row])
        if len(wrong) > _MOST_ROWS_NAMED:
            yield name, "the rescored numbers", f"{len(wrong)} of {len(expected)} that differ"
        if not len(wrong) and expected.size:
            compared.note(f"{kind}, single queries", float(np.abs(expected - values).max()))
            compared.numbers += expected.size - 1


def _close(got: float | None, expected: float | None, relative: float, absolute: float) -> bool:
    if got is None or expected is None:
        return got is expected
    return math.isclose(got, expected, rel_tol=relative, abs_tol=absolute)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.9g}"
