"""Folders of all kinds into one value: what counts, what is verified, and what is left out and why."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from coterie.leaderboard.entries.folders import MAXIMUM_BYTES, REPORT_KINDS
from coterie.leaderboard.entries.submitted import newest_first
from coterie.leaderboard.errors import SourceError
from coterie.leaderboard.reports.gather import gather
from coterie.leaderboard.reports.read import KINDS
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore
from tests.records import MadeUpMethod, make_record

PROOF = {"protocol": "coterie-2", "date": "2026-11-24T12:00:00+00:00", "compared": ["more than we need"]}


CARD = {
    "method": "louvain",
    "version": "1.0",
    "summary": "Communities.",
    "authors": ["Ada Lovelace", "Grace Hopper"],
    "citation": "none",
    "code": "https://example.org/louvain/tree/v1",
    "licence": "Apache-2.0",
    "sees": ["weights"],
    "cost": "seconds",
}


def submit(
    folder: Path, records: list[Record], proof: Any = PROOF, version: str = "1.0", card: dict[str, Any] = CARD
) -> Path:
    """A submission as written by `coterie submit` and `coterie verify`; without a proof, it has no badge."""
    for record in records:
        RecordStore(folder).write(record)
    files = {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.json")}
    named = {"method": "louvain", "version": version}
    manifest = {"schema_version": 1, **named, "selector": "louvain", "suite": "quick", "seeds": 1, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    (folder / "card.yaml").write_text(yaml.safe_dump(card | {"version": version}))
    digest = sha256(json.dumps(manifest, separators=(",", ":")).encode()).hexdigest()
    if proof is not None:
        text = proof if isinstance(proof, str) else json.dumps({"submission": digest} | proof)
        (folder / "verification.json").write_text(text)
    return folder


def badges(folder: Path) -> dict[str, str]:
    return gather([folder]).badges


def test_output_folders_submissions_and_mlflow_artifacts_can_be_mixed(tmp_path: Path) -> None:
    RecordStore(tmp_path / "out").write(make_record("random"))
    submit(tmp_path / "submissions" / "louvain" / "1.0", [make_record("louvain", seed=s) for s in range(2)])
    artifacts = tmp_path / "mlartifacts" / "0f" / "artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "record.json").write_text(make_record("leiden").to_json())
    (artifacts / "coalitions.json").write_text("{}")
    gathered = gather([tmp_path / "out", tmp_path / "submissions", tmp_path / "mlartifacts"])
    assert gathered.unreadable == []
    assert sorted((r.method_name, r.seed) for r in gathered.records) == [
        ("leiden", 0),
        ("louvain", 0),
        ("louvain", 1),
        ("random", 0),
    ]
    assert set(gathered.badges) == {"louvain"}


@pytest.mark.parametrize(
    ("proof", "verified"),
    [
        (PROOF, True),
        (None, False),
        (PROOF | {"submission": "0" * 64}, False),
        (PROOF | {"protocol": "coterie-0"}, False),
        (PROOF | {"date": "yesterday"}, False),
        ({"protocol": "coterie-2"}, False),
        ("[" * 100_000, False),
    ],
)
def test_only_a_verification_of_this_manifest_and_protocol_makes_a_badge(
    tmp_path: Path, proof: Any, verified: bool
) -> None:
    submit(tmp_path / "a", [make_record("louvain")], proof)
    assert bool(badges(tmp_path)) is verified


def test_an_entry_with_an_unverified_record_has_no_badge(tmp_path: Path) -> None:
    submit(tmp_path / "a", [make_record("louvain", seed=0)])
    assert badges(tmp_path) == {"louvain": "re-scored from scratch under protocol coterie-2 on 2026-11-24"}
    submit(tmp_path / "b", [make_record("louvain", seed=1)], None)
    assert badges(tmp_path) == {}


def test_a_record_changed_after_verification_has_no_badge(tmp_path: Path) -> None:
    folder = submit(tmp_path / "a", [make_record("louvain")])
    assert set(badges(folder)) == {"louvain"}  # the submission itself, and below the folder of all
    (path,) = (folder / "records").rglob("*.json")
    path.write_text(path.read_text() + " ")
    assert badges(folder) == badges(tmp_path) == {}


def test_files_that_are_not_records_are_named_with_the_reason(tmp_path: Path) -> None:
    folder = submit(tmp_path / "a", [make_record("louvain", task="a/x")])
    old = json.loads(make_record("louvain").to_json()) | {"schema_version": 0}
    (folder / "old.json").write_text(json.dumps(old))
    (folder / "broken.json").write_text("{")
    (tmp_path / "secret.json").write_text(make_record("leiden").to_json())
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    with open(folder / "large.json", "wb") as file:
        file.truncate(MAXIMUM_BYTES + 1)
    gathered = gather([folder])
    assert [record.task_name for record in gathered.records] == ["a/x"]
    reasons = {problem.path.name: problem.reason for problem in gathered.unreadable}
    assert set(reasons) == {"old.json", "broken.json", "link.json", "large.json"}
    assert "expected schema version 1, got 0, which cannot be migrated" in reasons["old.json"]
    assert "symbolic link" in reasons["link.json"]
    assert "larger than" in reasons["large.json"]


def test_only_folders_can_be_gathered(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected a folder with records, got nothing"):
        gather([tmp_path / "nowhere"])
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="got a file"):
        gather([tmp_path / "file"])


def test_versions_come_newest_first_with_a_badge_or_the_reason_why_not(tmp_path: Path) -> None:
    old = make_record(MadeUpMethod("louvain", code_hash="0" * 64), date="2026-01-01T00:00:00+00:00")
    new, other = make_record("louvain"), make_record(MadeUpMethod("louvain", parameters={"k": 3}))
    submit(tmp_path / "new", [new], version="2.0")
    submit(tmp_path / "old", [old], None, version="1.0")
    submit(tmp_path / "other", [other], PROOF | {"submission": "0" * 64}, version="3.0")
    changed = submit(tmp_path / "changed", [new, make_record("louvain", task="a/x")], version="1.5")
    (path,) = (changed / "records" / "a").rglob("*.json")
    path.write_text(path.read_text() + " ")
    found = gather([tmp_path]).submissions
    shown = newest_first(found, [new])
    assert [s.manifest.version for s in shown] == ["2.0", "1.5", "1.0"]
    assert shown[0].verified == "re-scored from scratch under protocol coterie-2 on 2026-11-24"
    assert shown[1].why_not == "1 of 2 records are not the verified ones"
    assert shown[2].why_not == "coterie verify has not scored its coalitions again"
    (alone,) = newest_first(found, [other])
    assert (alone.verified, alone.why_not) == ("", "its verification.json is invalid or belongs to other files")
    assert {s.manifest.version for s in gather([tmp_path / "old"]).submissions} == {"1.0"}, (
        "a submission can be a source itself"
    )


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ({"authors": ["<script>alert(1)</script>"]}, "plain text: no markup"),
        ({"summary": "right\u202eleft"}, "plain text: no markup, no control characters"),
        ({"code": "javascript:alert(1)"}, "code"),
        ({"licence": "FILL IN"}, "licence"),
        ({"method": "leiden"}, "expected louvain 1.0, as in manifest.json, got leiden 1.0"),
        ({"extra": 1}, "extra"),
        ({"summary": "x" * 100_000}, "at most 65536 bytes"),
        ({"summary": float("nan")}, "summary"),
    ],
)
def test_an_invalid_card_is_left_out(tmp_path: Path, card: dict[str, Any], reason: str) -> None:
    submit(tmp_path / "a", [make_record("louvain")], card=CARD | card)
    gathered = gather([tmp_path])
    assert (gathered.submissions, len(gathered.records)) == ([], 1)
    (problem,) = gathered.unreadable
    assert problem.path.name == "card.yaml"
    assert reason in problem.reason


def test_cards_and_records_of_other_submissions_are_left_out(tmp_path: Path) -> None:
    folder = submit(tmp_path / "a", [make_record("louvain")])
    (folder / "card.yaml").rename(tmp_path / "card.yaml")
    (folder / "card.yaml").symlink_to(tmp_path / "card.yaml")
    (problem,) = gather([folder]).unreadable
    assert "plain file" in problem.reason
    stolen = submit(tmp_path / "b", [make_record("leiden")])
    (problem,) = gather([stolen]).unreadable
    assert problem.reason == "expected records of louvain, got records of leiden"


def test_every_kind_of_report_has_a_model() -> None:
    assert tuple(KINDS) == REPORT_KINDS
    assert {model.__name__ for model in KINDS.values()} == {"TransitionsReport", "Inspection", "FidelityReport"}
