"""The board as a DataFrame and CSV: one row per entry, task and metric."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coterie.leaderboard.board.types import Board, Entry, MetricBoard, Row, TaskBoard
from coterie.leaderboard.errors import SourceError
from coterie.leaderboard.reports.gather import gather

if TYPE_CHECKING:
    import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet evaluates cells that start with one of these


def load(path: Path | str) -> pd.DataFrame:
    """The results under `path` as a DataFrame: an output folder, submissions, or a `leaderboard.json`.

    One row per entry, task and metric, ranked or not. Numbers are exact; missing ones are NaN, and `reason` says why.
    `rank` and `layer` are nullable. Raises `SourceError` if there are no records, and `pydantic.ValidationError` for a
    `leaderboard.json` with another schema.

    >>> results = coterie.leaderboard.load("coterie-out")
    >>> results[results.ranked].pivot_table("rank", "entry", ["task", "metric", "domain"])
    """
    path = Path(path)
    if path.is_file():
        return to_frame(Board.model_validate_json(path.read_bytes()))
    gathered = gather([path])
    if not gathered.records:
        raise SourceError(f"{path}: expected records, got none; fix: coterie run --output-folder {path}")
    return to_frame(gathered.board, gathered.badges)


def to_frame(board: Board, badges: Mapping[str, str] | None = None) -> pd.DataFrame:
    """One row per entry, task and metric of the board; with `badges`, a column says which entries are verified."""
    import pandas as pd

    rows = [
        _line(board.entry(row.entry), task, metric, row)
        for task in board.tasks
        for metric in task.metrics
        for row in metric.rows
    ]
    table = pd.DataFrame(rows)
    if badges is not None:
        table["verified"] = table["entry"].isin(set(badges))
    return table.astype({"rank": "Int64", "layer": "Int64"})


def to_csv(table: pd.DataFrame) -> str:
    """CSV without formulas for a spreadsheet to evaluate: cells that would be formulas start with an apostrophe."""
    texts = table.select_dtypes(["object", "string"]).columns
    quoted = {name: table[name].map(_quoted) for name in texts}
    return str(table.assign(**quoted).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC))


def _quoted(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _line(entry: Entry, task: TaskBoard, metric: MetricBoard, row: Row) -> dict[str, Any]:
    cost, nothing = row.cost, float("nan")
    return {
        "task": task.task_name,
        "architecture": task.info.architecture,
        "objective": task.info.objective,
        "layer": task.info.layer,
        "metric": metric.metric,
        "domain": metric.domain,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "ranked": metric.primary,
        "entry": row.entry,
        "method": entry.method_name,
        "parameters": json.dumps(entry.parameters, sort_keys=True),
        "budget": entry.budget,
        "sees": ", ".join(entry.sees),
        "rank": row.rank,
        **{name: _number(getattr(row, name)) for name in ("value", "low", "high", "method_value", "control_value")},
        **{name: _number(getattr(row, name)) for name in ("discovery_value", "noise_floor")},
        "evaluations": cost.evaluations if cost else nothing,
        "discovery_seconds": cost.discovery_seconds if cost else nothing,
        "scoring_seconds": cost.scoring_seconds if cost else nothing,
        "peak_memory_bytes": cost.peak_memory_bytes if cost else nothing,
        "seeds": row.n_seeds,
        "tied_with": json.dumps(row.tied_with),
        "reason": row.reason or "",
        "note": row.note,
        "code_hash": entry.code_hash,
        "protocol": task.protocol,
        "date": entry.date,
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
