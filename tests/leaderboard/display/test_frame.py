import io
import math
from pathlib import Path

import pandas as pd
import pytest

import coterie.leaderboard
from coterie.leaderboard import compile_board, write_board
from coterie.leaderboard.display.frame import FORMULA, to_csv, to_frame
from coterie.leaderboard.errors import SourceError
from coterie.tracking.store import RecordStore
from tests.records import METRICS, MadeUpMethod, make_record

RECORDS = [
    *(
        make_record(MadeUpMethod("good", effect=1.0, parameters={"k": 3}), task=t, seed=s)
        for t in ("a", "b")
        for s in (0, 1)
    ),
    make_record("random", task="a"),
    make_record("louvain", task="a", status="failed", reason="out of memory"),
]


def test_the_frame_has_one_row_per_entry_task_and_metric_with_the_boards_numbers() -> None:
    board = compile_board(RECORDS)
    table = to_frame(board)
    assert len(table) == 3 * 2 * len(METRICS)
    assert not table.duplicated(["task", "metric", "domain", "entry"]).any()
    for task in board.tasks:
        for metric in task.metrics:
            for row in metric.rows:
                where = (
                    (table.task == task.task_name) & (table.metric == metric.metric) & (table.domain == metric.domain)
                )
                (line,) = table[where & (table.entry == row.entry)].to_dict("records")
                assert (line["value"] == row.value) or (math.isnan(line["value"]) and row.value is None)
                assert line["seeds"] == row.n_seeds
                assert line["reason"] == (row.reason or "")
                assert (line["rank"] is pd.NA and row.rank is None) or line["rank"] == row.rank


def test_load_reads_an_output_folder_and_a_board_alike(tmp_path: Path) -> None:
    for record in RECORDS:
        RecordStore(tmp_path).write(record)
    write_board(compile_board(RECORDS), tmp_path)
    loaded = coterie.leaderboard.load(tmp_path)
    assert not loaded["verified"].any()
    pd.testing.assert_frame_equal(
        loaded.drop(columns="verified"), coterie.leaderboard.load(tmp_path / "leaderboard.json")
    )


def test_loading_a_folder_without_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected records, got none; fix: coterie run"):
        coterie.leaderboard.load(tmp_path)


def test_no_cell_of_the_csv_is_a_formula() -> None:
    for start in FORMULA:
        record = make_record("evil")
        hostile = record.method.model_copy(update={"selector": f"{start}HYPERLINK(1)", "sees": [f"{start}1"]})
        text = to_csv(to_frame(compile_board([record.model_copy(update={"method": hostile})])))
        table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
        assert (table["entry"].str[0] == "'").all()
        assert (table["sees"].str[0] == "'").all()
    numbers = pd.read_csv(io.StringIO(to_csv(to_frame(compile_board(RECORDS)))))
    assert numbers["value"].dtype == float
