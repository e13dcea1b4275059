"""``coterie perf``: every part is there, prints its rows, and says what is wrong in one line."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.benchmark.commands import perf as perf_command


def test_every_part_has_rows_to_measure() -> None:
    for part in perf_command.PARTS:
        assert callable(importlib.import_module(f"coterie.benchmark.perf.{part}").rows)


def test_a_part_prints_its_table_and_writes_its_numbers(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["perf", "ndcg", "--json", str(tmp_path / "perf.json")])
    assert result.exit_code == 0, result.output
    assert "nDCG@10 of 512 rankings" in result.output
    (row,) = json.loads((tmp_path / "perf.json").read_text())["rows"]
    assert row["values"]["difference"] == pytest.approx(0, abs=1e-12)
    assert row["values"]["ours_ms"] > 0


def test_a_part_that_fails_costs_exit_code_1_and_not_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"work": "w", "ours": "1 s", "against": "2 s", "figure": "2", "target": "-", "met": None, "values": {}}
    monkeypatch.setattr(perf_command, "measured", lambda part: ([], "no memory") if part == "gemm" else ([good], ""))
    result = CliRunner().invoke(app, ["perf", "gemm", "ndcg"])
    assert result.exit_code == 1
    assert "gemm: no memory" in result.output
    assert "1 s" in result.output


def test_an_unknown_part_is_the_users_mistake() -> None:
    result = CliRunner().invoke(app, ["perf", "ndgc"])
    assert result.exit_code == 2
    assert "ndcg" in result.output
