"""`coterie transitions` from the command line, on a planted network whose events are known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.leaderboard.reports.transitions import LayerPair, TransitionsReport
from coterie.methods.identity import code_hash
from coterie.methods.registry import get_method, include
from coterie.tasks.registry import at_layer
from coterie.tasks.reranker_task import plan_reranker_task
from coterie.tracking.record import Record
from coterie.tracking.store import RecordStore
from tests.benchmark.transitions.planted import EVENTS, MEMBERS, METHOD, ORIGINS, READS, WRITES, save_planted
from tests.records import make_record

SIXTY = ("--alpha", "0.6", "--beta", "0.6", "--draws", "20")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, task_file: Path, pydoc_domains: object) -> Path:
    """A folder with a task of the planted network and the method's file."""
    folder = tmp_path_factory.mktemp("planted")
    save_planted(folder)
    task = yaml.safe_load(task_file.read_text())
    task["name"] = "planted/two-layers"
    del task["reranker"]["adapter"]
    (folder / "task.yaml").write_text(yaml.safe_dump(task))
    (folder / "method.py").write_text(METHOD)
    return folder


def invoke(folder: Path, output: Path, *more: object, layers: str = "0-1") -> tuple[int, str]:
    arguments = [folder / "task.yaml", "same-coordinate", "--include", folder / "method.py", "--layers", layers]
    result = CliRunner().invoke(
        app, ["transitions", *map(str, arguments), *SIXTY, "--output-folder", str(output), *map(str, more)]
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def only(output: Path, ending: str) -> Path:
    (path,) = (output / "transitions").glob(f"*/transitions.{ending}")
    return path


def report_of(output: Path) -> TransitionsReport:
    return TransitionsReport.model_validate_json(only(output, "json").read_text())


def check_events(pair: LayerPair) -> None:
    targets = list(READS)
    found = {WRITES[row.source or 0]: row for row in pair.sources}
    assert {name: row.event for name, row in found.items()} == {name: event for name, (_, event) in EVENTS.items()}
    for name, (target, _) in EVENTS.items():
        got = found[name].target
        assert (None if got is None else targets[got].rstrip("'")) == target, (
            "b and b' are equal, so either may be its match"
        )
    assert {targets[row.target or 0]: row.event for row in pair.targets} == ORIGINS
    np.testing.assert_allclose([found["b"].alpha, found["b"].beta], [0.5, 1.0], rtol=1e-5)
    np.testing.assert_allclose([found["c"].alpha, found["c"].beta], [1.0, 0.5], rtol=1e-5)


def test_the_events_of_the_planted_network_are_found(folder: Path, tmp_path: Path) -> None:
    code, printed = invoke(folder, tmp_path, "--all-pairs")
    assert code == 0, printed
    report = report_of(tmp_path)
    assert [len(layer.coalitions) for layer in report.layers] == [5, 5]
    assert report.layers[0].coalitions[1].members == list(range(MEMBERS, 2 * MEMBERS))
    (pair,) = report.pairs
    check_events(pair)
    assert {c.event: c.count for c in pair.counts} == {"persist": 1, "split": 1, "merge": 2, "vanish": 1, "emerge": 1}
    rows = {line.split()[3]: line.split()[4:] for line in printed.splitlines() if line.startswith("0 to 1")}
    assert rows["merge"][:2] == ["2", "40%"]
    assert {c.event: c.chance for c in pair.counts}["persist"] < 0.2, "random groups rarely persist"  # type: ignore[operator]
    for ending in ("html", "png", "svg"):
        assert str(only(tmp_path, ending)) in printed.replace("\n", "")
    assert only(tmp_path, "png").read_bytes().startswith(b"\x89PNG")


def test_by_default_only_matched_pairs_count(folder: Path, tmp_path: Path) -> None:
    assert invoke(folder, tmp_path)[0] == 0
    counts = {c.event: c.count for c in report_of(tmp_path).pairs[0].counts}
    assert counts == {"persist": 1, "split": 1, "merge": 1, "vanish": 2, "emerge": 2}


def test_output_files_are_reproducible(folder: Path, tmp_path: Path) -> None:
    for output in (tmp_path / "one", tmp_path / "two"):
        assert invoke(folder, output)[0] == 0
    for ending in ("json", "html", "svg", "png"):
        assert only(tmp_path / "one", ending).read_bytes() == only(tmp_path / "two", ending).read_bytes()


def test_coalitions_of_a_finished_cell_are_reused(folder: Path, tmp_path: Path) -> None:
    (cls,) = include(folder / "method.py")
    plan = plan_reranker_task(at_layer(str(folder / "task.yaml"), 0))
    made_up = make_record()
    identity = made_up.identity.model_copy(
        update={
            "task_name": plan.name,
            "task_fingerprint": plan.fingerprint,
            "method_name": "same-coordinate",
            "parameters": get_method("same-coordinate").parameters,
            "code_hash": code_hash(cls),
            "budget": 1000,
        }
    )
    fields = made_up.model_dump() | {"identity": identity, "identity_digest": identity.digest()}
    groups = [[0, 1], [5, 6, 7]]
    for members, code, says in (
        (groups, 0, "(from a finished cell)"),
        ([[0, 99]], 2, "expected player indices 0 to 23"),
    ):
        record = Record.model_validate(fields | {"coalitions": {"n_players": 24, "groups": members}})
        RecordStore(tmp_path).write(record)
        result, printed = invoke(folder, tmp_path)
        assert result == code
        assert says in printed
    report = report_of(tmp_path)
    assert [layer.from_record for layer in report.layers] == [True, False]
    assert [c.members for c in report.layers[0].coalitions] == groups


def test_a_method_that_raises_exits_with_1(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "folder"
    shutil.copytree(folder, broken)
    raising = "        raise RuntimeError('on purpose')\n        coordinate ="
    text = METHOD.replace("same-coordinate", "raises").replace("        coordinate =", raising)
    (broken / "method.py").write_text(text)
    arguments = ["transitions", broken / "task.yaml", "raises", "--include", broken / "method.py", "--layers", "0-1"]
    result = CliRunner().invoke(app, [*map(str, arguments), "--output-folder", str(tmp_path)])
    assert result.exit_code == 1
    assert "failed: raises: RuntimeError: on purpose" in result.output
    assert not (tmp_path / "transitions").exists()


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ("1", "--layers: expected the first and a later layer"),
        ("2-1", "--layers: expected the first and a later layer"),
        ("../1-2", "--layers: expected the first and a later layer"),
        ("1-2", "layers: expected 0 to 1, got 2"),
    ],
)
def test_invalid_layers_are_refused(layers: str, says: str, folder: Path, tmp_path: Path) -> None:
    code, printed = invoke(folder, tmp_path, layers=layers)
    assert code == 2
    assert printed.startswith("error: ")
    assert says in printed


def test_a_planted_game_has_no_layers(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["transitions", "planted/backup", "random", "--layers", "0-1", "--output-folder", str(tmp_path)]
    )
    assert result.exit_code == 2
    assert "has no layers" in result.output


def test_untrusted_json_is_validated(folder: Path, tmp_path: Path) -> None:
    assert invoke(folder, tmp_path)[0] == 0
    raw = json.loads(only(tmp_path, "json").read_text())
    raw["pairs"][0]["sources"][0]["event"] = "<script>"
    with pytest.raises(ValueError, match="event"):
        TransitionsReport.model_validate(raw)
