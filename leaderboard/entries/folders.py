"""Records from output folders, submissions and MLflow artifacts, in any mix. All files are treated as hostile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from coterie.leaderboard.entries.proof import Proof, read_proof
from coterie.leaderboard.entries.submission import BADGE, MANIFEST
from coterie.leaderboard.entries.submitted import Submitted, read_submitted
from coterie.leaderboard.errors import SourceError
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore, Unreadable
from coterie.tracking.text import explain_invalid

REPORT_KINDS: Final = ("transitions", "inspect", "fidelity")  # their models: reports/read.py
REPORT_FILES: Final = frozenset(f"{kind}.json" for kind in REPORT_KINDS)
NOT_RECORDS: Final = REPORT_FILES | {
    BADGE,
    MANIFEST,
    "leaderboard.json",
    "leaderboard-schema.json",
    "coalitions.json",
    "results.json",
}
MAXIMUM_BYTES = 64 * 2**20  # a record with a thousand queries has about 1 MB


@dataclass
class Files:
    """The content of folders. Every JSON file ends up in one of the fields."""

    records: list[Record] = field(default_factory=list)
    """Every readable record."""

    submissions: list[Submitted] = field(default_factory=list)
    """Submissions with card and manifest."""

    verified: dict[str, Proof] = field(default_factory=dict)
    """Digest of a record's identity -> the proof that covers the record."""

    output_folders: list[Path] = field(default_factory=list)
    """Folders written by runs, whose reports are still to be read."""

    reports: list[tuple[Path, Path]] = field(default_factory=list)
    """(folder, file) of reports below other folders, still to be read."""

    unreadable: list[Unreadable] = field(default_factory=list)
    """Files that were left out, with the reason."""


def read_folders(folders: Iterable[Path]) -> Files:
    """Read all records below the folders; symbolic links are not followed. Raises `SourceError` for anything but a folder.

    An output folder (it contains `records/`) is read as a store, which rejects renamed records. In any other folder, every
    JSON file counts: submissions, and the artifacts of an MLflow store.
    """
    found = Files()
    for folder in folders:
        if not folder.is_dir():
            got = "a file" if folder.exists() else "nothing"
            raise SourceError(f"{folder}: expected a folder with records, got {got}; fix: name an output folder")
        if (folder / "records").is_dir() and not (folder / BADGE).exists() and not (folder / MANIFEST).exists():
            scan = RecordStore(folder).scan()
            found.records += scan.records
            found.unreadable += scan.unreadable
            found.output_folders.append(folder)
        else:
            _read_tree(folder, found)
    return found


def _read_tree(folder: Path, into: Files) -> None:
    """Add everything below a folder that is not an output folder."""
    proofs: dict[Path, Proof] = {}
    submissions: dict[Path, Submitted] = {}
    paths = list(_files(folder, into))
    for path in paths:
        if path.name == BADGE:
            proof = read_proof(path)
            if isinstance(proof, Unreadable):
                into.unreadable.append(proof)
            else:
                proofs[path.parent] = proof
        elif path.name == MANIFEST:
            submitted = read_submitted(path.parent)
            if isinstance(submitted, Unreadable):
                into.unreadable.append(submitted)
            else:
                submissions[path.parent] = submitted
        elif path.name in REPORT_FILES and path.parent.parent.name == path.stem:
            into.reports.append((folder, path))
    for path in paths:
        if path.name not in NOT_RECORDS:
            _read_record(path, into, proofs, submissions)
    for submitted in submissions.values():
        _add_submission(submitted, proofs, into)


def _read_record(path: Path, into: Files, proofs: dict[Path, Proof], submissions: dict[Path, Submitted]) -> None:
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


def _add_submission(submitted: Submitted, proofs: dict[Path, Proof], into: Files) -> None:
    """Add a submission with its badge, or the reason why it has none; leave out one with records of other methods."""
    methods = sorted({record.method_name for record in submitted.records})
    if methods != [submitted.manifest.method]:
        got = f"records of {', '.join(methods)}" if methods else "no readable record"
        reason = f"expected records of {submitted.manifest.method}, got {got}"
        into.unreadable.append(Unreadable(submitted.folder / MANIFEST, reason))
        return
    into.submissions.append(submitted)
    proof = proofs.get(submitted.folder)
    missing = len(submitted.records) - submitted.covered
    if proof is not None and not missing:
        submitted.verified = proof.text
    elif proof is not None:
        submitted.why_not = f"{missing} of {len(submitted.records)} records are not the verified ones"
    elif (submitted.folder / BADGE).exists():
        submitted.why_not = f"its {BADGE} is invalid or belongs to other files"


def _files(folder: Path, into: Files) -> Iterator[Path]:
    """JSON files of acceptable size. Links are left out: they may lead anywhere."""
    for path in sorted(folder.rglob("*.json")):
        if path.is_symlink():
            into.unreadable.append(Unreadable(path, "a symbolic link, which is not followed"))
        elif path.is_file() and path.stat().st_size > MAXIMUM_BYTES:
            into.unreadable.append(Unreadable(path, f"larger than {MAXIMUM_BYTES // 2**20} MB"))
        elif path.is_file():
            yield path
