"""`coterie verify`: check what submissions claim, score their coalitions again and compare every number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from coterie.benchmark.errors import ExitCode, UsageError, describe_os_error, exit_on_user_error, writing
from coterie.benchmark.protocol.settings import PROTOCOL
from coterie.benchmark.submissions.claims import check_claims, is_registered
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

MOST_PRINTED = 50  # discrepancies per submission


@dataclass(frozen=True)
class Verified:
    """The outcome for one submission."""

    submission: Submission
    """The submission."""
    problems: list[Discrepancy]
    """Everything that differs."""
    badge: Verification | None
    """The badge; None if there are problems, or nothing was compared."""
    made_by: str | None = None
    """The other version of coterie that made the submission, whose results cannot be compared; None if it was this one."""


def verify(
    folders: Sequence[Path], device: str = "cpu", progress: Callable[[str], None] = lambda _line: None
) -> list[Verified]:
    """Read submissions, check their claims and score their coalitions again. Writes nothing.

    Raises `UsageError` for anything but a folder.
    """
    read = [_read(folder) for folder in folders]
    made_by = [another_version(found) for found in read]
    claims = [
        [] if other else [*found.problems, *check_claims(found)] for found, other in zip(read, made_by, strict=True)
    ]
    rescored = [
        Rescored({} if other else _sound(found, problems))
        for found, problems, other in zip(read, claims, made_by, strict=True)
    ]
    check_scores(rescored, device, progress)
    outcomes = []
    for found, problems, again, other in zip(read, claims, rescored, made_by, strict=True):
        everything = list(dict.fromkeys([*problems, *again.problems]))
        badge = None if everything or other else _badge(found, again.compared)
        outcomes.append(Verified(found, everything, badge, other))
    return outcomes


def another_version(found: Submission) -> str | None:
    """The version of coterie that made a readable submission, if it is not this one; None otherwise."""
    versions = {record.environment.coterie_version for record in found.records.values()}
    return None if found.problems or not versions or version("coterie") in versions else ", ".join(sorted(versions))


def verify_command(paths: Sequence[Path], device: str) -> ExitCode:
    """Print the outcomes, write the badges and remove those that no longer hold."""
    from coterie.benchmark.runner.environment import resolve_device

    console = Console(soft_wrap=True, highlight=False, markup=False)
    with exit_on_user_error():
        folders = list(dict.fromkeys(folder for path in paths for folder in _expanded(path)))
        outcomes = verify(folders, resolve_device(device), lambda line: console.print(f"scoring again: {line}"))
        for outcome in outcomes:
            _update_badge(outcome)
    for outcome in outcomes:
        _print(outcome, console)
    failed = sum(outcome.badge is None for outcome in outcomes)
    if len(outcomes) > 1:
        console.print(f"{len(outcomes) - failed} of {len(outcomes)} submissions verified")
    return ExitCode.FAILED if failed else ExitCode.OK


def _expanded(path: Path) -> list[Path]:
    """The submissions that a path refers to: itself, all versions of a method, or all submissions in a folder."""
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
            f"{folder}: expected the folder of a submission, got {describe_os_error(error)}; fix: "
            "coterie verify leaderboard/submissions/METHOD/VERSION"
        ) from None


def _sound(found: Submission, problems: Sequence[Discrepancy]) -> dict[str, Record]:
    """The records that can be scored again: those of a registered task, without a problem in their identity."""
    faulty = {problem.file for problem in problems if problem.field.startswith("identity.")}
    return {path: r for path, r in found.records.items() if path not in faulty and is_registered(r)}


def _update_badge(outcome: Verified) -> None:
    if outcome.made_by is not None:  # its badge is from the version that made it
        return
    badge = outcome.submission.folder / BADGE
    with writing(badge, "change its permissions"):
        if outcome.badge is not None:
            write_atomic(badge, outcome.badge.model_dump_json(indent=1))
        elif badge.is_file():
            badge.unlink()


def _print(outcome: Verified, console: Console) -> None:
    badge, folder = outcome.badge, outcome.submission.folder
    if outcome.made_by is not None:
        console.print(
            f"NOT compared: {folder} was made by coterie {outcome.made_by}, whose tasks and methods differ from those of this "
            f"version, {version('coterie')}. Its badge is kept. To compare, verify it with coterie {outcome.made_by}, or run the "
            f"method again."
        )
        return
    if badge is None:
        for problem in outcome.problems[:MOST_PRINTED]:
            console.print(f"  {problem}")
        if len(outcome.problems) > MOST_PRINTED:
            console.print(f"  and {len(outcome.problems) - MOST_PRINTED} more")
        number = len(outcome.problems)
        console.print(f"NOT verified: {number} {'discrepancy' if number == 1 else 'discrepancies'} in {folder}")
        return
    differences = ", ".join(f"{kind} {value:.1e}" for kind, value in badge.largest_difference.items())
    scored = f"{badge.cells} cells of {folder} scored again, {badge.numbers} numbers compared"
    console.print(f"Verified: {scored} ({badge.protocol}, {badge.date})")
    console.print(f"  largest differences: {differences or 'none'}\n  not compared: {'; '.join(badge.not_compared)}")


def _badge(found: Submission, compared: Compared) -> Verification:
    if found.manifest is None:
        raise ValueError("expected a submission with a manifest, got none")
    known = found.manifest.method in list_methods()
    code = "the method's code and parameters: this installation does not have the method"
    identity = "code hash, parameters, summary and reference of the method"
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
            *([identity] if known else []),
        ],
        not_compared=[
            "cost and environment, which are as declared: measuring them would require running the method",
            "whether the method proposes these coalitions: coterie run shows it",
            *([] if known else [code]),
        ],
        tolerance=TOLERANCE,
        largest_difference={kind: float(value) for kind, value in sorted(compared.largest.items())},
    )
