"""``coterie verify``: is a submission what it says? Nothing in it is believed that can be computed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from coterie.benchmark.errors import UsageError, told_in_one_line, user_errors
from coterie.benchmark.settings import PROTOCOL
from coterie.benchmark.verify_claims import check_claims, registered
from coterie.benchmark.verify_scores import TOLERANCE, Compared, check_scores
from coterie.leaderboard.submission import BADGE, Discrepancy, Submission, Verification, read_submission
from coterie.methods.registry import list_methods
from coterie.tracking.files import write_atomic
from coterie.tracking.record import Record

MOST_TOLD = 50  # discrepancies that are printed


@dataclass(frozen=True)
class Verified:
    """The outcome: a badge where there is no discrepancy."""

    submission: Submission
    problems: list[Discrepancy]
    badge: Verification | None


def verify(folder: Path, device: str = "cpu", told: Callable[[str], None] = lambda _line: None) -> Verified:
    """Read, check and re-score a submission. Raises ``UsageError`` where there is no such folder; writes nothing."""
    try:
        found = read_submission(folder)
    except OSError as error:
        raise UsageError(
            f"{folder}: expected the folder of a submission, got: {error.strerror or error}; fix: "
            "coterie verify leaderboard/submissions/METHOD/VERSION"
        ) from None
    problems = [*found.problems, *check_claims(found)]
    compared = Compared()
    faulty = {problem.file for problem in problems if problem.field.startswith("identity.")}
    sound = {p: r for p, r in found.records.items() if p not in faulty and registered(r)}
    try:
        problems += check_scores(sound, device, told, compared)
    except user_errors() as error:
        problems.append(Discrepancy("records", "", "tasks that can be loaded here, to score again", str(error)))
    if not problems and found.manifest is not None:
        return Verified(found, [], _badge(found, compared, next(iter(found.records.values()))))
    return Verified(found, list(dict.fromkeys(problems)), None)


def verify_command(folder: Path, device: str) -> int:
    """Print the outcome; write the badge, or take a former one away. Exit code 1 where anything is wrong."""
    from coterie.benchmark.commands import resolve_device

    console = Console(soft_wrap=True, highlight=False, markup=False)
    with told_in_one_line():
        found = verify(folder, resolve_device(device), lambda line: console.print(f"scoring again: {line}"))
        if found.badge is None:
            if (folder / BADGE).is_file():
                (folder / BADGE).unlink()
            for problem in found.problems[:MOST_TOLD]:
                console.print(f"  {problem}")
            more = len(found.problems) - MOST_TOLD
            console.print(f"  and {more} more" if more > 0 else "", end="\n" if more > 0 else "")
            console.print(f"NOT verified: {len(found.problems)} discrepancies in {folder}")
            return 1
        try:
            write_atomic(folder / BADGE, found.badge.model_dump_json(indent=1))
        except OSError as error:
            raise UsageError(f"{folder / BADGE}: cannot be written: {error.strerror}; fix: its permissions") from None
    badge = found.badge
    differences = ", ".join(f"{kind} {value:.1e}" for kind, value in badge.largest_difference.items())
    console.print(
        f"Verified: {badge.cells} cells, {badge.numbers} numbers scored again ({badge.protocol}, {badge.date})"
    )
    console.print(f"  largest differences: {differences or 'none'}\n  not compared: {'; '.join(badge.not_compared)}")
    return 0


def _badge(found: Submission, compared: Compared, record: Record) -> Verification:
    known = record.method_name in list_methods()
    code = "the method's code and parameters: it is not in this checkout"
    same = "code hash, parameters, summary and reference of the method"
    if found.manifest is None:
        raise ValueError("expected a submission with a manifest, got none")
    return Verification(
        submission=found.manifest.digest(),
        protocol=PROTOCOL,
        coterie_version=version("coterie"),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cells=compared.cells,
        numbers=compared.numbers,
        compared=[
            "files, hashes, schema, names and places",
            "completeness, protocol, settings, budget, seeds",
            "task fingerprint, data revision, weights, quality of the reranker",
            "every score, interval and per-query number, from the coalitions",
            *([same] if known else []),
        ],
        not_compared=[
            "cost and environment (as declared: they cannot be measured without running the method)",
            "that the method gives these coalitions (coterie run does)",
            *([] if known else [code]),
        ],
        tolerance=TOLERANCE,
        largest_difference={kind: float(value) for kind, value in sorted(compared.largest.items())},
    )
