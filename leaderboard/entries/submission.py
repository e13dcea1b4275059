"""A submission: one method's records over a suite, with a card about its author. Only files are checked; nothing is scored.

    leaderboard/submissions/<method>/<version>/
        card.yaml            author, code and licence (`Card`)
        manifest.json        what the submission claims to be, and the SHA-256 of every other file (`Manifest`)
        records/...          as in any output folder (`coterie.tracking.store.RecordStore`)
        verification.json    the badge, written by `coterie verify` (`Verification`); not in the manifest

Submissions come from other people and are treated as hostile; see `hostile.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator

from coterie.leaderboard.entries.hostile import check_words, read_text, strict_json, strict_yaml, walk
from coterie.leaderboard.errors import HostileError
from coterie.tracking.record import Name, Record, Strict
from coterie.tracking.store import RecordStore

CARD, MANIFEST, BADGE = "card.yaml", "manifest.json", "verification.json"
LARGEST = {CARD: 64 * 2**10, MANIFEST: 2**20, BADGE: 256 * 2**10}  # bytes
LARGEST_RECORD = 8 * 2**20  # bytes; the largest bundled record has 0.2 MB
MOST_COALITIONS, MOST_MEMBERS = 20_000, 2_000_000
TO_FILL = "FILL IN"

Version = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Line = Annotated[str, Field(min_length=1, max_length=300)]
_CODE = r"^(https://[A-Za-z0-9.-]+(/[A-Za-z0-9._~/@%+-]*)?|coterie==[0-9]+(\.[0-9]+)*)$"
Capability = Literal["ablations", "activations", "gradients", "lens", "weights"]


class Card(Strict):
    """Who made a method and what it is."""

    method: Name
    """Name of the method."""

    version: Version = Field(description="version of the method; a new one for every change that affects results")
    """Version of the method."""

    summary: Line = Field(description="one sentence")
    """What the method does."""

    authors: list[Line] = Field(min_length=1, max_length=50)
    """Names of the authors."""

    citation: Annotated[str, Field(min_length=1, max_length=2000)] = Field(description="how to cite it, or 'none'")
    """How to cite the method."""

    code: Annotated[str, Field(pattern=_CODE, max_length=300)] = Field(
        description="https address of the code, at a fixed commit or tag (coterie==VERSION for methods of coterie)"
    )
    """Address of the code."""

    licence: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]+( (WITH|OR|AND) [A-Za-z0-9.+-]+)*$", max_length=100)] = (
        Field(description="SPDX expression, e.g. Apache-2.0")
    )
    """Licence of the code."""

    sees: list[Capability] = Field(description="what the method is given, as in its records")
    """What the method is given."""

    cost: Line = Field(description="what it takes to run")
    """What it takes to run, in one line."""

    notes: Annotated[str, Field(max_length=2000)] = ""
    """Anything else worth knowing."""

    @field_validator("*")
    @classmethod
    def _filled_in(cls, value: Any) -> Any:
        if any(TO_FILL in str(item) for item in (value if isinstance(value, list) else [value])):
            raise ValueError("still to be filled in")
        return value


class Manifest(Strict):
    """What a submission claims to be."""

    schema_version: Literal[1] = 1
    """Version of this schema."""

    method: Name
    """Name of the method."""

    version: Version
    """Version of the method."""

    selector: Annotated[str, Field(min_length=1, max_length=1000)]
    """The method with its parameters, as on the command line."""

    suite: Name
    """The suite of tasks."""

    seeds: int = Field(ge=1, le=100)
    """Number of seeds per task."""

    files: dict[str, str]
    """Path -> SHA-256 of every file except the manifest and the badge."""

    def digest(self) -> str:
        """SHA-256 of the manifest, and thus of everything that it lists."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Verification(Strict):
    """The badge: what was compared, when and how exactly, and for which files."""

    schema_version: Literal[1] = 1
    """Version of this schema."""

    submission: str
    """Digest of the manifest."""

    protocol: str
    """Protocol under which the coalitions were scored again."""

    coterie_version: str
    """Version of coterie that scored them."""

    date: str
    """Date of the verification, ISO 8601."""

    cells: int
    """Number of cells that were scored again."""

    numbers: int
    """Number of values that were compared."""

    compared: list[str]
    """What was compared."""

    not_compared: list[str]
    """What was not compared."""

    tolerance: dict[str, str]
    """Kind of value -> how much it may differ."""

    largest_difference: dict[str, float]
    """Kind of value -> the largest difference found."""


AnyModel = TypeVar("AnyModel", bound=Strict)


@dataclass(frozen=True)
class Discrepancy:
    """One problem of a submission."""

    file: str
    """Path of the file in the submission."""

    field: str
    """The field inside the file; empty if the problem is the file."""

    expected: str
    """What was expected."""

    got: str
    """What was found."""

    def __str__(self) -> str:
        where = f"{self.file!a}"[1:-1] + (f": {self.field}" if self.field else "")
        return f"{where}: expected {_shown(self.expected)}, got {_shown(self.got)}"


@dataclass
class Submission:
    """The readable content of a submission, and the problems of its files."""

    folder: Path
    """The submission's folder."""

    card: Card | None = None
    """Its card, if valid."""

    manifest: Manifest | None = None
    """Its manifest, if valid."""

    records: dict[str, Record] = field(default_factory=dict)
    """Path -> record, for valid records."""

    problems: list[Discrepancy] = field(default_factory=list)
    """Everything that is wrong."""

    def wrong(self, file: str, where: str, expected: object, got: object) -> None:
        """Add a problem."""
        self.problems.append(Discrepancy(file, where, str(expected), str(got)))


def read_submission(folder: Path) -> Submission:
    """Read a submission's files and collect their problems. Raises only `OSError`, for anything but a folder."""
    found = Submission(folder)
    if folder.is_symlink():
        raise NotADirectoryError(f"{folder}: expected a folder, got a symbolic link")
    hashes: dict[str, str] = {}
    values: dict[str, Any] = {}
    for path, refused in sorted(walk(folder), key=lambda entry: entry[0]):
        if path == BADGE and refused is None:
            continue  # verification does not rely on an earlier one
        try:
            if refused is not None:
                raise refused
            text = read_text(folder, path, _limit(path))
            hashes[path] = hashlib.sha256(text.encode()).hexdigest()
            values[path] = strict_yaml(text) if path == CARD else strict_json(text)
        except HostileError as error:
            found.wrong(path, "", error.expected, error.got)
            continue
        for where, problem in check_words(values[path]):
            found.wrong(path, where, problem.expected, problem.got)
    found.manifest = _validated(found, MANIFEST, values.pop(MANIFEST, None), Manifest)
    found.card = _validated(found, CARD, values.pop(CARD, None), Card)
    for path, value in values.items():
        record = _validated(found, path, value, Record)
        if record is not None and _bounded(found, path, record):
            found.records[path] = record
    _check_manifest(found, hashes)
    _check_places(found)
    return found


def submissions_in(root: Path) -> Iterator[Path]:
    """The folders of all submissions below `leaderboard/submissions`, valid or not."""
    for path in sorted(root.glob("*/*")):
        if path.is_dir() and not path.is_symlink():
            yield path


def manifest_of(folder: Path, card: Card, selector: str, suite: str, seeds: int) -> Manifest:
    """The manifest of the files that are in the folder now."""
    files = {
        path: hashlib.sha256(read_text(folder, path, _limit(path)).encode()).hexdigest()
        for path, _refused in walk(folder)
        if path not in (MANIFEST, BADGE)
    }
    return Manifest(
        method=card.method,
        version=card.version,
        selector=selector,
        suite=suite,
        seeds=seeds,
        files=dict(sorted(files.items())),
    )


def _limit(path: str) -> int:
    """Largest size of a file in bytes. Raises `HostileError` for a file that does not belong in a submission."""
    if path in LARGEST:
        return LARGEST[path]
    if not path.startswith("records/") or not path.endswith(".json") or "/." in path:
        raise HostileError(f"{CARD}, {MANIFEST}, {BADGE} and records/.../*.json", "another file")
    return LARGEST_RECORD


def _validated(found: Submission, path: str, value: Any, model: type[AnyModel]) -> AnyModel | None:
    """The model of a file's value; None, with the problems added, if it is missing or invalid."""
    if value is None:
        if not any(problem.file == path for problem in found.problems):
            found.wrong(path, "", "a file with values", "nothing")
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for problem in error.errors(include_url=False)[:5]:
            where = ".".join(str(part) for part in problem["loc"])
            got = "nothing" if problem["type"] == "missing" else repr(problem["input"])
            found.wrong(path, where, problem["msg"], got)
        return None


def _bounded(found: Submission, path: str, record: Record) -> bool:
    groups = record.coalitions.groups if record.coalitions is not None else []
    members = sum(map(len, groups))
    if len(groups) > MOST_COALITIONS:
        found.wrong(path, "coalitions.groups", f"at most {MOST_COALITIONS} coalitions", len(groups))
    elif members > MOST_MEMBERS:
        found.wrong(path, "coalitions.groups", f"at most {MOST_MEMBERS} members in all", members)
    else:
        return True
    return False


def _check_manifest(found: Submission, hashes: dict[str, str]) -> None:
    manifest, card = found.manifest, found.card
    if manifest is None:
        return
    present = {path: digest for path, digest in hashes.items() if path != MANIFEST}
    for path in sorted(present.keys() | manifest.files.keys()):
        if manifest.files.get(path) != present.get(path):
            expected, got = manifest.files.get(path, "no such file"), present.get(path, "no readable file")
            found.wrong(path, "sha256", expected, got)
    named = {"method": found.folder.resolve().parent.name, "version": found.folder.resolve().name}
    for name, value in named.items():
        if getattr(manifest, name) != value:
            found.wrong(MANIFEST, name, f"{value!r}, the name of the folder", repr(getattr(manifest, name)))
        if card is not None and getattr(card, name) != getattr(manifest, name):
            found.wrong(CARD, name, f"{getattr(manifest, name)!r}, as in {MANIFEST}", repr(getattr(card, name)))


def _check_places(found: Submission) -> None:
    """Check that every record is at its place, and that every cell has one record."""
    store, cells = RecordStore(found.folder), dict[tuple[str, int], str]()
    for path, record in found.records.items():
        belongs = store.path_for(record).relative_to(found.folder).as_posix()
        if path != belongs:
            found.wrong(path, "", f"this record at {belongs}", "another path")
        cell = record.task_name, record.seed
        if cell in cells:
            found.wrong(path, "", f"one record of {cell[0]}, seed {cell[1]}", f"another one at {cells[cell]}")
        cells.setdefault(cell, path)


def _shown(text: str) -> str:
    """A short text in one line, with escapes instead of unprintable characters, so that an attack is visible."""
    clean = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return clean if len(clean) <= 200 else clean[:197] + "..."
