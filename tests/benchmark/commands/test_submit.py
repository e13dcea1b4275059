"""`coterie submit` and `coterie verify` for a user: missing parts are named, and a sound submission gets a badge."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from coterie.benchmark.cli import main as cli
from coterie.benchmark.protocol import suites
from coterie.benchmark.protocol.scoring import score
from coterie.benchmark.submissions.rescoring import FLOORS, Compared, compare
from coterie.leaderboard.entries.submission import BADGE, MANIFEST, submissions_in
from coterie.leaderboard.reports.gather import gather
from coterie.methods import Coalitions, get_method
from coterie.tracking.record import Measure
from coterie.tracking.store import RecordStore
from tests.benchmark.submissions.made import (
    CARD_VALUES,
    SELECTOR,
    SETTINGS,
    SUITE,
    edit,
    measure,
    record_file,
    rehash,
    run_suite,
)


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(autouse=True)
def tiny_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(suites.SUITES, "tiny", SUITE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out")
    run_suite(output)
    return output


@pytest.fixture
def output(finished: Path, tmp_path: Path) -> Path:
    (tmp_path / "card.yaml").write_text(json.dumps(CARD_VALUES))
    return Path(shutil.copytree(finished, tmp_path / "out"))


def submit(output: Path, *more: object, method: str = SELECTOR) -> tuple[int, str]:
    where = ("--card", output.parent / "card.yaml", "--to", output.parent / "to")
    return invoke("submit", output, "-m", method, "--suite", "tiny", *where, *more)


def badge(folder: Path) -> str:
    """The text of a submission's badge; empty if it has none."""
    [submitted] = gather([folder]).submissions
    return submitted.verified


def test_records_become_a_submission_with_a_badge(output: Path) -> None:
    assert submit(output)[0] == 0
    folder = output.parent / "to/random/1"
    assert list(submissions_in(output.parent / "to")) == [folder]
    assert len(RecordStore(folder).all()) == 2, "a submission can be read like any output folder"
    assert badge(folder) == ""
    code, printed = invoke("verify", folder)
    assert code == 0, printed
    assert "Verified: 2 cells" in printed
    assert badge(folder).startswith("re-scored from scratch under protocol coterie-2 on ")
    assert json.loads((folder / BADGE).read_text())["cells"] == 2
    assert invoke("verify", folder)[0] == 0, "the badge does not count as an extra file"


def test_built_in_methods_of_a_suite_are_submitted_and_verified_together(output: Path) -> None:
    to = output.parent / "to"
    code, printed = invoke("submit", output, "--built-in", "--suite", "tiny", "--to", to)
    assert code == 0, printed
    [folder] = submissions_in(to)
    assert folder == to / "random" / f"{version('coterie')}-min_size-3-max_size-5", "named after parameters that differ"
    card = yaml.safe_load((folder / "card.yaml").read_text())
    assert card["code"] == f"coterie=={version('coterie')}"
    assert card["citation"] == get_method("random").reference
    assert invoke("submit", output, "--built-in", "--suite", "tiny", "--to", to)[0] == 2, "nothing is replaced"
    assert submit(output)[0] == 0
    one, other = submissions_in(to)
    edit(lambda values: measure(values, "synergy_joint").update(value=0.5))(other)
    rehash(other)
    code, printed = invoke("verify", to)
    assert code == 1
    assert "scores.synergy_joint/heldout.value: expected" in printed
    assert f"discrepancies in {other}" in printed
    assert f"discrepancies in {one}" not in printed
    assert "1 of 2 submissions verified" in printed
    assert badge(one)
    assert not badge(other)
    assert invoke("verify", to / "random", one)[1].count("scoring again: planted/coactive: 4 records") == 1, (
        "each submission once"
    )


@pytest.mark.parametrize("more", [[], ["--built-in", "-m", "random"]])
def test_either_one_method_or_all_built_in_ones_are_required(more: list[str], output: Path) -> None:
    code, printed = invoke("submit", output, *more)
    assert code == 2
    assert "either -m METHOD or --built-in" in printed


def test_badge_is_removed_when_files_change(output: Path) -> None:
    submit(output)
    folder = output.parent / "to/random/1"
    invoke("verify", folder)
    edit(lambda values: values["cost"].update(discovery_seconds=0.5))(folder)
    assert not badge(folder), "a hash differs"
    rehash(folder)
    assert not badge(folder), "the badge belongs to another manifest"
    values = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**values, "seeds": 1}))
    code, printed = invoke("verify", folder)
    assert code == 1
    assert "NOT verified" in printed
    assert not (folder / BADGE).exists()


def test_missing_card_is_written_and_its_empty_fields_are_named(output: Path) -> None:
    card = output.parent / "card.yaml"
    card.unlink()
    code, printed = submit(output)
    assert code == 2
    assert "fill in authors, citation, code, licence" in printed
    code, printed = submit(output)
    assert code == 2
    assert "authors: still to be filled in" in printed
    assert "version" not in printed.partition("fix:")[0]
    assert not (output.parent / "to").exists()


def test_missing_cell_is_named(output: Path) -> None:
    record_file(output, 1).unlink()
    code, printed = submit(output)
    assert code == 2
    assert "1 of 2 cells of suite tiny are missing: planted/coactive, seed 1: not run; fix: coterie run" in printed
    edit(lambda values: values.update(status="failed", reason="RuntimeError: no"), seed=0)(output)
    assert "seed 0: failed (RuntimeError: no)" in submit(output)[1]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("protocol", "coterie-0", "run with protocol coterie-0, expected coterie-2"),
        ("budget", 7, "run with budget 7, expected 100"),
        ("settings", {"pairs": 1}, "run with other settings"),
        ("code_hash", "0" * 64, "of different versions: code_hash"),
        ("task_fingerprint", "0" * 64, "of different versions: fingerprint"),
    ],
)
def test_mixed_versions_are_refused(field: str, value: object, says: str, output: Path) -> None:
    edit(lambda values: values["identity"].update({field: value}))(output)
    code, printed = submit(output)
    assert code == 2
    assert says in printed
    assert not (output.parent / "to").exists()


def test_mistakes_are_refused(output: Path) -> None:
    assert "expected records of 'hedonic-oca', got none" in submit(output, method="hedonic-oca")[1]
    assert "--seeds: expected at least 2" in submit(output, "--seeds", 1)[1]
    assert "seed 2: not run" in submit(output, "--seeds", 3)[1]
    assert submit(output)[0] == 0
    code, printed = submit(output)
    assert code == 2
    assert "exists already; fix: another `version`" in printed


@pytest.mark.parametrize("name", ["nothing", "file.zip"])
def test_verify_refuses_anything_but_a_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(b"PK\x03\x04")
    code, printed = invoke("verify", tmp_path / name)
    assert code == 2
    assert "expected the folder of a submission" in printed


def test_rounding_passes_and_larger_differences_do_not() -> None:
    """Half of the tolerance passes, twice the tolerance does not."""
    from coterie.benchmark.protocol.bench import Bench
    from coterie.tasks.kinds import plan_task
    from coterie.tasks.registry import get_task_spec

    task = plan_task(get_task_spec("planted/coactive")).load()
    fresh = [
        with_floor(m, 1e-3) for m in score(Bench(task, SETTINGS), Coalitions.of(task.discovery.n_players, [(0, 1)]), 0)
    ]
    for factor, passes in ((0.5, True), (2.0, False)):
        moved = [
            m.model_copy(update={"discovery_value": m.discovery_value + factor * FLOORS * 1e-3})
            if m.discovery_value is not None
            else m
            for m in fresh
        ]
        assert moved != fresh
        assert (list(compare(moved, fresh, SETTINGS, Compared())) == []) is passes


def with_floor(measure: Measure, floor: float) -> Measure:
    return measure if measure.noise_floor is None else measure.model_copy(update={"noise_floor": floor})
