"""``coterie verify``: is a submission what it says? Nothing in it is believed that can be computed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.benchmark.protocol.settings import PROTOCOL
from coterie.benchmark.submissions.claims import check_claims, registered
from coterie.benchmark.submissions.rescoring import TOLERANCE, Compared, Rescored, check_scores
from coterie.leaderboard.entries.submission import (
    BADGE,
    CARD,
    MANIFEST,
    Discrepancy,
    Submission,
    Verification,
    read_submission,
    submissions_in,
)
from coterie.methods.registry import list_methods
from coterie.tracking.files import write_atomic
from coterie.tracking.record import Record

MOST_TOLD = 50  # discrepancies that are printed


@dataclass(frozen=True)
class Verified:
    """The outcome: a badge where there is no discrepancy.

    ``made_by`` is the version of coterie that made a submission where that is another one: nothing is compared then.
    """

    submission: Submission
    problems: list[Discrepancy]
    badge: Verification | None
    made_by: str | None = None


def verify(
    folders: Sequence[Path], device: str = "cpu", told: Callable[[str], None] = lambda _line: None
) -> list[Verified]:
    """Read, check and re-score submissions, in this order. Raises ``UsageError`` for what is no folder; writes nothing."""
    read = [_read(folder) for folder in folders]
    made_by = [another_version(found) for found in read]
    claims = [
        [] if other else [*found.problems, *check_claims(found)] for found, other in zip(read, made_by, strict=True)
    ]
    rescored = [
        Rescored({} if other else _sound(found, problems))
        for found, problems, other in zip(read, claims, made_by, strict=True)
    ]
    check_scores(rescored, device, told)
    outcomes = []
    for found, problems, again, other in zip(read, claims, rescored, made_by, strict=True):
        everything = list(dict.fromkeys([*problems, *again.problems]))
        badge = None if everything or other else _badge(found, again.compared)
        outcomes.append(Verified(found, everything, badge, other))
    return outcomes


def another_version(found: Submission) -> str | None:
    """The version of coterie that made all of a submission, where it is not this one: its tasks and methods were others."""
    versions = {record.environment.coterie_version for record in found.records.values()}
    return None if found.problems or not versions or version("coterie") in versions else ", ".join(sorted(versions))


def verify_command(paths: Sequence[Path], device: str) -> int:
    """Print the outcomes; write the badges, or take former ones away. Exit code 1 where anything is wrong."""
    from coterie.benchmark.commands.run import resolve_device

    console = Console(soft_wrap=True, highlight=False, markup=False)
    with exit_on_user_error():
        folders = list(dict.fromkeys(folder for path in paths for folder in _expanded(path)))
        outcomes = verify(folders, resolve_device(device), lambda line: console.print(f"scoring again: {line}"))
        for outcome in outcomes:
            _settle(outcome)
    for outcome in outcomes:
        _print(outcome, console)
    failed = sum(outcome.badge is None for outcome in outcomes)
    if len(outcomes) > 1:
        console.print(f"{len(outcomes) - failed} of {len(outcomes)} submissions verified")
    return 1 if failed else 0


def _expanded(path: Path) -> list[Path]:
    """The submission itself, or all below a folder of submissions, or all versions below the folder of a method."""
    if path.is_symlink() or not path.is_dir() or _is_submission(path):
        return [path]
    versions = [folder for folder in sorted(path.iterdir()) if folder.is_dir()]
    return versions if any(map(_is_submission, versions)) else list(submissions_in(path)) or [path]


def _is_submission(folder: Path) -> bool:
    return any((folder / name).exists() for name in (CARD, MANIFEST, "records"))


def _read(folder: Path) -> Submission:
    try:
        return read_submission(folder)
    except OSError as error:
        raise UsageError(
            f"{folder}: expected the folder of a submission, got: {error.strerror or error}; fix: "
            "coterie verify leaderboard/submissions/METHOD/VERSION"
        ) from None


def _sound(found: Submission, problems: Sequence[Discrepancy]) -> dict[str, Record]:
    """The records that can be scored again: of registered tasks, with the settings and the identity that they should have."""
    faulty = {problem.file for problem in problems if problem.field.startswith("identity.")}
    return {path: r for path, r in found.records.items() if path not in faulty and registered(r)}


def _settle(outcome: Verified) -> None:
    if outcome.made_by is not None:  # its badge, if it has one, is that version's
        return
    badge = outcome.submission.folder / BADGE
    try:
        if outcome.badge is not None:
            write_atomic(badge, outcome.badge.model_dump_json(indent=1))
        elif badge.is_file():
            badge.unlink()
    except OSError as error:
        raise UsageError(f"{badge}: cannot be written: {error.strerror}; fix: its permissions") from None


def _print(outcome: Verified, console: Console) -> None:
    badge, folder = outcome.badge, outcome.submission.folder
    if outcome.made_by is not None:
        console.print(
            f"NOT compared: {folder} was made by coterie {outcome.made_by}, this is {version('coterie')}, and tasks and methods "
            f"differ; its badge, if any, is that version's. To compare, run the method again, or verify with that version"
        )
        return
    if badge is None:
        for problem in outcome.problems[:MOST_TOLD]:
            console.print(f"  {problem}")
        if len(outcome.problems) > MOST_TOLD:
            console.print(f"  and {len(outcome.problems) - MOST_TOLD} more")
        console.print(f"NOT verified: {len(outcome.problems)} discrepancies in {folder}")
        return
    differences = ", ".join(f"{kind} {value:.1e}" for kind, value in badge.largest_difference.items())
    console.print(
        f"Verified: {badge.cells} cells, {badge.numbers} numbers of {folder} scored again ({badge.protocol}, {badge.date})"
    )
    console.print(f"  largest differences: {differences or 'none'}\n  not compared: {'; '.join(badge.not_compared)}")


def _badge(found: Submission, compared: Compared) -> Verification:
    if found.manifest is None:
        raise ValueError("expected a submission with a manifest, got none")
    known = found.manifest.method in list_methods()
    code = "the method's code and parameters: it is not in this checkout"
    same = "code hash, parameters, summary and reference of the method"
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
