"""Where a board's records come from: output folders, submissions and MLflow artifacts, in any mix. All files are hostile."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from coterie.leaderboard.board.table import shown_records
from coterie.leaderboard.entries.submitted import Submitted, read_submitted
from coterie.leaderboard.errors import SourceError
from coterie.leaderboard.reports.attach import Reports, attach
from coterie.leaderboard.reports.read import FILES, Report, read_report, read_reports
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore, Unreadable, explain_invalid

VERIFICATION, MANIFEST = "verification.json", "manifest.json"
NOT_RECORDS = frozenset(
    {VERIFICATION, MANIFEST, "leaderboard.json", "leaderboard-schema.json", "coalitions.json", "results.json", *FILES}
)
MAXIMUM_BYTES = 64 * 2**20  # a record with a thousand queries has some 1 MB


class Verification(BaseModel):
    """What a board needs of ``verification.json``, which `coterie verify` writes; the board does not score again.

    ``submission`` is the SHA-256 of the manifest as compact JSON, ``files`` the manifest's path -> SHA-256.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    submission: str
    protocol: str
    date: str
    files: dict[str, str] = {}

    def covers(self, path: str, data: bytes, protocol: str) -> bool:
        """Whether the file is the one that was verified."""
        return self.protocol == protocol and self.files.get(path) == hashlib.sha256(data).hexdigest()

    @property
    def text(self) -> str:
        """What the badge says."""
        return f"re-scored from scratch under protocol {self.protocol} on {self.date[:10]}"


@dataclass
class Gathered:
    """Every file that was looked at is in ``records``, ``submissions`` or ``reports``, or else in ``unreadable``.

    ``verified`` maps the digest of a record's identity to the verification that covers it.
    """

    records: list[Record] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    verified: dict[str, Verification] = field(default_factory=dict)
    submissions: list[Submitted] = field(default_factory=list)
    reports: Reports = field(default_factory=Reports)

    def badges(self, shown: Iterable[tuple[str, Record]]) -> dict[str, str]:
        """Entry -> what its badge says, for the entries all of whose records are verified."""
        found: dict[str, list[Verification | None]] = {}
        for entry, record in shown:
            found.setdefault(entry, []).append(self.verified.get(record.identity_digest))
        complete = {entry: [v for v in proofs if v] for entry, proofs in found.items() if all(proofs)}
        return {entry: min(proofs, key=lambda v: v.date).text for entry, proofs in complete.items()}


def gather(folders: Iterable[Path]) -> Gathered:
    """Read all records below the folders; symbolic links are not followed. Raises ``SourceError`` for what is no folder.

    An output folder (it has ``records/``) is read as a store, which refuses renamed records. Of any other folder every
    JSON file counts: submissions, and the artifacts of an MLflow store. Reports about records (transitions, cards of
    coalitions, fidelity of affinities) lie beside ``records/`` and count where they fit a record that the board shows.
    """
    gathered, found = Gathered(), list[tuple[Path, Report]]()
    for folder in folders:
        if not folder.is_dir():
            got = "a file" if folder.exists() else "nothing"
            raise SourceError(f"{folder}: expected a folder with records, got {got}; fix: name an output folder")
        if (folder / "records").is_dir() and not (folder / VERIFICATION).exists() and not (folder / MANIFEST).exists():
            scan = RecordStore(folder).scan()
            gathered.records += scan.records
            gathered.unreadable += scan.unreadable
            for report in read_reports(folder):
                gathered.unreadable.append(report) if isinstance(report, Unreadable) else found.append(report)
        else:
            found += _walk(folder, gathered)
    gathered.reports, unfit = attach(found, shown_records(gathered.records) if found else [])
    gathered.unreadable += unfit
    return gathered


def _walk(folder: Path, into: Gathered) -> list[tuple[Path, Report]]:
    """Add what lies below the folder; the reports are returned."""
    proofs: dict[Path, Verification] = {}
    submissions: dict[Path, Submitted] = {}
    reports: list[tuple[Path, Report]] = []
    for path in _files(folder, into):
        if path.name == VERIFICATION:
            _read_verification(path, proofs, into)
        elif path.name == MANIFEST:
            _read_submission(path.parent, submissions, into)
        elif path.name in FILES and path.parent.parent.name == path.stem:
            report = read_report(folder, path)
            into.unreadable.append(report) if isinstance(report, Unreadable) else reports.append((path, report))
    for path in _files(folder, Gathered()):
        if path.name not in NOT_RECORDS:
            _read_record(path, into, proofs, submissions)
    for submitted in submissions.values():
        _judge(submitted, proofs, into)
    return reports


def _read_record(
    path: Path, into: Gathered, proofs: dict[Path, Verification], submissions: dict[Path, Submitted]
) -> None:
    try:
        data = path.read_bytes()
        record = Record.from_json(data)
    except OSError as error:
        into.unreadable.append(Unreadable(path, f"cannot be read: {error.strerror}"))
        return
    except ValidationError as error:
        into.unreadable.append(Unreadable(path, explain_invalid(error)))
        return
    into.records.append(record)
    above = next((p for p in path.parents if p in proofs), None)
    covered = above and proofs[above].covers(path.relative_to(above).as_posix(), data, record.identity.protocol)
    if above and covered:
        into.verified[record.identity_digest] = proofs[above]
    for submitted in (submissions[p] for p in path.parents if p in submissions):
        submitted.records.append(record)
        submitted.covered += bool(covered)


def _read_submission(folder: Path, submissions: dict[Path, Submitted], into: Gathered) -> None:
    found = read_submitted(folder)
    if isinstance(found, Unreadable):
        into.unreadable.append(found)
    else:
        submissions[folder] = found


def _judge(submitted: Submitted, proofs: dict[Path, Verification], into: Gathered) -> None:
    """Say what the submission's badge says, or why it has none."""
    methods = sorted({record.method_name for record in submitted.records})
    if methods != [submitted.manifest.method]:
        reason = (
            f"expected records of {submitted.manifest.method}, got of {', '.join(methods) or 'none that can be read'}"
        )
        into.unreadable.append(Unreadable(submitted.folder / MANIFEST, reason))
        return
    into.submissions.append(submitted)
    proof = proofs.get(submitted.folder)
    missing = len(submitted.records) - submitted.covered
    if proof is not None and not missing:
        submitted.verified = proof.text
    elif proof is not None:
        submitted.why_not = f"{missing} of {len(submitted.records)} records are not those that were verified"
    elif (submitted.folder / VERIFICATION).exists():
        submitted.why_not = f"its {VERIFICATION} is of other files, or none"


def _files(folder: Path, into: Gathered) -> Iterator[Path]:
    """JSON files of a bearable size. Links are left out: they may lead anywhere."""
    for path in sorted(folder.rglob("*.json")):
        if path.is_symlink():
            into.unreadable.append(Unreadable(path, "a symbolic link, which is not followed"))
        elif path.is_file() and path.stat().st_size > MAXIMUM_BYTES:
            into.unreadable.append(Unreadable(path, f"larger than {MAXIMUM_BYTES // 2**20} MB"))
        elif path.is_file():
            yield path


def _read_verification(path: Path, proofs: dict[Path, Verification], into: Gathered) -> None:
    try:
        proof = Verification.model_validate(json.loads(path.read_text("utf8")))
        datetime.fromisoformat(proof.date)
        manifest = json.loads(path.with_name(MANIFEST).read_text("utf8"))
        compact = json.dumps(manifest, separators=(",", ":"), ensure_ascii=False)
        if hashlib.sha256(compact.encode()).hexdigest() != proof.submission:
            raise ValueError("it verifies another manifest than the one beside it; fix: coterie verify")
        proofs[path.parent] = proof.model_copy(update={"files": dict(manifest["files"])})
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        into.unreadable.append(Unreadable(path, f"not a verification: {' '.join(str(error).split())[:200]}"))
