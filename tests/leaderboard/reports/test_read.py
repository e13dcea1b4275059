"""Reports of others: those that do not fit are left out with a reason, and nothing raises."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.leaderboard.display.report_views import AcrossView
from coterie.leaderboard.reports import read
from coterie.leaderboard.reports.attach import Reports
from coterie.leaderboard.reports.gather import gather
from coterie.leaderboard.reports.read import KINDS, read_reports
from coterie.tracking.store import RecordStore, Unreadable
from tests.leaderboard.made_reports import fidelity, inspection, lay, transitions
from tests.records import make_record

RECORD, NEXT = make_record("good", task="a/x"), make_record("good", task="a/x[layer=3]")
REPORTS = {"transitions": transitions(RECORD, NEXT), "inspect": inspection(RECORD), "fidelity": fidelity(RECORD)}
KIND = list(REPORTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for record in (RECORD, NEXT):
        RecordStore(tmp_path / "out").write(record)
    return tmp_path / "out"


def refused(folder: Path) -> str:
    """The reason why the folder's only report is refused."""
    gathered = gather([folder])
    assert len(gathered.records) == 2
    assert gathered.reports == Reports()
    (problem,) = gathered.unreadable
    return problem.reason


@pytest.mark.parametrize("kind", KIND)
def test_reports_survive_writing_and_reading(folder: Path, kind: str) -> None:
    path = lay(folder, "one", REPORTS[kind])
    assert list(read_reports(folder)) == [(path, REPORTS[kind])]
    assert gather([folder]).unreadable == []


def test_reports_are_found_below_other_folders_too(folder: Path) -> None:
    for report in REPORTS.values():
        lay(folder, "one", report)
    direct, below = gather([folder]), gather([folder.parent])
    assert direct.reports == below.reports
    assert len(direct.reports.transitions["good"]) == 1


@pytest.mark.parametrize("kind", KIND)
def test_links_of_any_kind_are_not_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    outside = lay(tmp_path_factory.mktemp("outside"), "one", REPORTS[kind])
    link = folder / kind / "one" / outside.name
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    assert "symbolic link" in refused(folder)
    link.unlink()
    link.hardlink_to(outside)
    assert "hard link" in refused(folder)
    link.unlink()
    link.parent.rmdir()
    link.parent.symlink_to(outside.parent)
    assert "symbolic link" in refused(folder)
    link.parent.unlink()
    link.parent.parent.rmdir()
    link.parent.parent.symlink_to(outside.parent.parent)
    assert "symbolic link" in refused(folder)


@pytest.mark.parametrize("kind", KIND)
def test_large_files_are_refused_before_reading(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lay(folder, "one", REPORTS[kind])
    with open(path, "wb") as file:
        file.truncate(read.LARGEST + 1)
    assert f"at most {read.LARGEST} bytes" in refused(folder)
    path.write_text("[" * (read.MOST_LISTS + 1))
    assert f"at most {read.MOST_LISTS} lists" in refused(folder)
    path.write_text("[" * 1000)
    assert "levels of brackets" in refused(folder)
    path.unlink()
    monkeypatch.setattr(read, "MOST_REPORTS", 2)
    for name in "abc":
        lay(folder, name, REPORTS[kind])
    found = list(read_reports(folder))
    assert [isinstance(one, Unreadable) for one in found] == [False, False, True]


def at(*keys: str | int, to: Any) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = to

    return change


CHANGES: list[tuple[str, Callable[[Any], None], str]] = [
    *((kind, at("extra", to=1), "extra") for kind in KIND),
    *((kind, at("schema_version", to=2), "schema_version") for kind in KIND),
    *((kind, at("task_name", to="x" * 30_000), "task_name") for kind in KIND),
    *((kind, at("task_name", to="\ud800"), "task_name") for kind in KIND),
    ("transitions", at("pairs", 0, "alpha", to=float("nan")), "finite numbers"),
    ("inspect", at("cards", 0, "effect", "value", to=float("inf")), "finite numbers"),
    ("fidelity", at("rows", 0, "spearman", to=float("nan")), "finite numbers"),
    ("transitions", at("pairs", to=[]), "one per two adjacent layers"),
    ("transitions", at("layers", to=[]), "layers"),
    ("transitions", at("task_fingerprints", to=[]), "one per layer"),
    ("transitions", at("layers", 0, "coalitions", 1, "number", to=0), "number once"),
    ("transitions", at("layers", 0, "coalitions", 1, "members", to=[8]), "members below 8"),
    ("transitions", at("layers", 0, "coalitions", 1, "members", to=[]), "members"),
    ("transitions", at("pairs", 0, "sources", 0, "target", to=7), "numbers of coalitions of these layers"),
    ("transitions", at("pairs", 0, "sources", 0, "target", to=None), "a source, a target and a mass"),
    ("transitions", at("pairs", 0, "sources", 0, "mass", to=0.0), "a source, a target and a mass"),
    ("transitions", at("pairs", 0, "sources", 0, "mass", to=1e300), "mass"),
    ("transitions", at("pairs", 0, "sources", 0, "event", to="emerge"), "expected one of persist"),
    ("transitions", at("pairs", 0, "targets", 0, "event", to="<b>"), "event"),
    ("transitions", at("pairs", 0, "targets", to=[]), "one row per coalition"),
    ("transitions", at("pairs", 0, "counts", to=[]), "in this order"),
    ("transitions", at("pairs", 0, "source_layer", to=5), "the pair of layers 1 and 2"),
    (
        "transitions",
        at("layers", 0, "coalitions", 0, "members", to=[5, 6, 7]),
        "its coalition 0 differs from that of record",
    ),
    ("transitions", at("code_hash", to="0" * 64), "the board has no single entry"),
    ("inspect", at("cards", 1, "number", to=0), "each coalition once"),
    ("inspect", at("cards", 0, "members", to=[8]), "members below 8"),
    ("inspect", at("cards", 0, "members", to=[5, 6]), "its coalition 0 differs from that of record"),
    ("inspect", at("cards", 0, "number", to=9), "its coalition 9 differs from that of record"),
    ("inspect", at("record", to="f" * 64), "the board shows no record"),
    ("inspect", at("task_name", to="b/y"), "its task, method or seed is not that of record"),
    ("inspect", at("seed", to=1), "its task, method or seed is not that of record"),
    ("fidelity", at("\x1b[31m", to=1), "\\x1b[31m"),
    ("fidelity", at("rows", to=[]), "rows"),
    ("fidelity", at("rows", 1, "affinity", to="pas"), "each affinity once"),
    ("fidelity", at("rows", 0, "reason", to="both"), "either a correlation or a reason"),
    ("fidelity", at("rows", 0, "spearman", to=2), "spearman"),
    ("fidelity", at("task_fingerprint", to="0"), "the board shows no task"),
]


@pytest.mark.parametrize(("kind", "change", "reason"), CHANGES)
def test_inconsistent_reports_are_refused(folder: Path, kind: str, change: Callable[[Any], None], reason: str) -> None:
    path = lay(folder, "one", REPORTS[kind])
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    assert reason in refused(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a": 1, "a": 2}', "\ufeff{}", '"x"'])
@pytest.mark.parametrize("kind", KIND)
def test_files_that_are_not_reports_are_refused(folder: Path, kind: str, text: str) -> None:
    lay(folder, "one", REPORTS[kind]).write_text(text)
    assert refused(folder)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_every_accepted_report_can_be_drawn(data: st.DataObject) -> None:
    """With numbers changed at random, either the schema refuses the report or it can be drawn."""
    values = json.loads(REPORTS["transitions"].model_dump_json())
    rows = values["pairs"][0][data.draw(st.sampled_from(["sources", "targets"]))]
    row = data.draw(st.sampled_from(rows))
    row[data.draw(st.sampled_from(["source", "target"]))] = data.draw(st.none() | st.integers(-1, 3))
    row["event"] = data.draw(st.sampled_from(["persist", "split", "merge", "vanish", "emerge"]))
    row["mass"] = data.draw(st.floats(0, 1e12))
    try:
        report = KINDS["transitions"].model_validate(values)
    except ValueError:
        return
    assert AcrossView.of(report).figure.startswith("{")  # type: ignore[arg-type]
