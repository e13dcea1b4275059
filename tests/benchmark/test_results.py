"""`coterie runs`, `history`, `compare` and `sync` as a user sees them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from coterie.benchmark import compare, history, runs, sync
from coterie.benchmark.cli import main as cli
from coterie.tracking import manifest
from coterie.tracking.manifest import ManifestWriter, read_runs
from coterie.tracking.mlflow_log import Tracker
from coterie.tracking.mlflow_read import tracked_runs
from coterie.tracking.store import RecordStore
from tests.records import METRICS, MadeUpMethod, make_record

TASK = "pydoc-llama/relevance"
SEEDS = 5


@pytest.fixture(autouse=True)
def no_mlflow_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the same cells, of which the second replaced the records of the first; both are in MLflow."""
    folder = tmp_path_factory.mktemp("output")
    store = RecordStore(folder)
    for day, effect, code in ((20, 0.1, "a"), (21, 2.0, "b")):
        writer = ManifestWriter(folder, "quick", {}, {"seeds": SEEDS})
        for name, hash_ in (("hedonic-oca", code * 64), ("random", "c" * 64)):
            for seed in range(SEEDS):
                method = MadeUpMethod(name, effect=effect if name == "hedonic-oca" else 0.0, code_hash=hash_)
                record = make_record(method, seed=seed, date=f"2026-11-{day}T08:00:00+00:00", metrics=METRICS[:2])
                store.write(record)
                writer.cell(record, reused=False)
        writer.end("FINISHED")
        assert sync(folder).logged == 2 * SEEDS
    return folder


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_history_lists_versions_marks_changes_and_draws_a_plot(output: Path, tmp_path: Path) -> None:
    csv, plot = tmp_path / "history.csv", tmp_path / "history.png"
    code, printed = invoke("history", TASK, "hedonic-oca", "--output-folder", output, "--csv", csv, "--plot", plot)
    assert code == 0
    assert all(len(line) <= 80 for line in printed.splitlines() if not line.startswith("Plot"))
    assert re.search(r"2026-11-21 bbbbbbb .* better", printed)
    assert plot.read_bytes().startswith(b"\x89PNG")
    frame = history(TASK, "hedonic-oca", output_folders=[output])
    assert list(pd.read_csv(csv)["value"]) == pytest.approx(list(frame["value"]))


def test_history_includes_results_from_mlflow_that_were_replaced_on_disk(output: Path) -> None:
    assert len(RecordStore(output).scan_cell(TASK, "random").records) == SEEDS
    one = history(TASK, "random", ["synergy-excess"], [output])
    assert list(one["seeds"]) == [SEEDS]
    from coterie.tracking.mlflow_read import records_of_cell
    from coterie.tracking.mlflow_store import MlflowStore

    assert len(records_of_cell(MlflowStore(None, output).open(), TASK, "random")) == 2 * SEEDS


def test_history_warns_of_an_unavailable_store_and_continues(output: Path) -> None:
    warnings: list[str] = []
    frame = history(TASK, "random", output_folders=[output], tracking_uri="http://127.0.0.1:9", warn=warnings.append)
    assert len(frame) == 2
    assert "only the records on disk" in warnings[0]


def test_runs_lists_the_folder_or_the_store(output: Path) -> None:
    frame = runs(output)
    assert list(frame["cells"]) == [2 * SEEDS] * 2
    assert list(frame["status"]) == ["FINISHED", "FINISHED"]
    code, printed = invoke("runs", "--output-folder", output)
    assert code == 0
    assert all(run in printed for run in frame["run"])
    there = runs(output, f"sqlite:///{output}/mlflow.db")
    assert len(there) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", run) for run in there["run"])


def test_runs_can_be_compared_by_any_kind_of_name(output: Path) -> None:
    first, second = (run.run_id for run in read_runs(output)[0])
    by_id = compare(first, second, output)
    tracked = [run.run_id for run in tracked_runs(Tracker(None, output).open())]
    by_mlflow = compare(tracked[0], tracked[1], output)
    for frame in (by_id, by_mlflow):
        rows = frame.set_index(["method", "metric"])
        assert rows.loc[("hedonic-oca", "synergy-excess/heldout"), "verdict"] == "better"
        assert rows.loc[("random", "synergy-excess/heldout"), "difference"] == 0
    assert compare(str(output), str(output))["difference"].abs().max() == 0
    code, printed = invoke("compare", first, second, "--output-folder", output)
    assert code == 0
    assert "better" in printed


class StoppedClock(datetime):
    """A clock that does not tick."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        return datetime(2026, 11, 20, 8, 0, 0, 123_456, tzinfo=UTC)


def test_runs_that_start_within_one_tick_stay_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "datetime", StoppedClock)
    names = [f"run {i}" for i in range(9)]
    for seed, name in enumerate(names):
        writer = ManifestWriter(tmp_path, name, {}, {})
        record = make_record("random", seed=seed)
        RecordStore(tmp_path).write(record)
        writer.cell(record, reused=False)
        writer.end("FINISHED")
    assert sync(tmp_path).logged == len(names)
    assert len({run.started for run in read_runs(tmp_path)[0]}) == 1
    assert list(runs(tmp_path)["name"]) == names
    assert list(runs(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")["name"]) == names


def run_again(folder: Path, effects: list[float]) -> list[str]:
    """Run the same cells once per effect, and return the ids of the runs."""
    store, ids = RecordStore(folder), []
    for effect in effects:
        writer = ManifestWriter(folder, "quick", {}, {})
        for seed in range(SEEDS):
            made = make_record(MadeUpMethod("hedonic-oca", effect=effect), seed=seed, metrics=METRICS[:1])
            record = store.with_later_date(made)
            store.write(record)
            writer.cell(record, reused=False)
        writer.end("FINISHED")
        assert sync(folder).logged == SEEDS, "a result was taken for the one that it replaced"
        ids.append(writer.header.run_id)
    return ids


def test_a_run_is_compared_by_its_own_results_even_if_replaced_later(tmp_path: Path) -> None:
    first, second, third = run_again(tmp_path, [0.1, 2.0, 0.1])
    assert list(compare(first, second, tmp_path)["verdict"]) == ["better"]
    assert list(compare(second, third, tmp_path)["verdict"]) == ["worse"]
    assert compare(first, third, tmp_path)["difference"].abs().max() == pytest.approx(0)
    assert len(history(TASK, "hedonic-oca", output_folders=[tmp_path])) == 1, "running again makes no new version"


def test_results_that_no_longer_exist_are_reported(tmp_path: Path) -> None:
    first, second = run_again(tmp_path, [0.1, 2.0])
    (tmp_path / "mlflow.db").unlink()
    code, printed = invoke("compare", first, second, "--output-folder", tmp_path)
    assert code == 2
    assert f"{first}: left out {SEEDS} of {SEEDS} cells" in printed
    assert "expected finished cells, got none" in " ".join(printed.split())


def test_sync_reports_what_it_did(output: Path) -> None:
    code, printed = invoke("sync", output)
    assert code == 0
    assert f"0 cells logged, {3 * SEEDS} already in MLflow" in printed


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["history", TASK, "nothing"], "expected records of 'nothing'"),
        (["history", "../..", "x"], "expected records of 'x'"),
        (["history", TASK, "random", "--metric", "nope"], "no such metric"),
        (["compare", "nowhere", "nowhere"], "expected an output folder, a run of"),
        (["compare", "0" * 32, "0" * 32], "expected an MLflow store that answers"),
        (["runs", "--output-folder", "nowhere"], "expected runs, got none"),
        (["sync", "nowhere"], "expected a folder with records"),
    ],
)
def test_mistakes_print_one_line_and_exit_with_2(
    output: Path, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] in ("history", "compare"):
        arguments = [*arguments, "--output-folder", str(output)]
    with pytest.raises(SystemExit) as exit_:
        cli.app(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err.strip()
    assert text in error
    assert error.startswith("error: ")
    assert "\n" not in error
