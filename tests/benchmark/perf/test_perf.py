"""`coterie perf`: every part is found and measured, and errors are reported in one line."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.benchmark import perf
from coterie.benchmark.cli.main import app
from coterie.benchmark.commands import perf as perf_command
from coterie.benchmark.perf.parts import list_parts

PARTS = {"ablation", "gemm", "hedonic", "interactions", "ndcg", "quick", "scale", "shapley"}


def test_every_part_has_a_summary_and_rows() -> None:
    assert set(list_parts()) == PARTS
    for part, summary in list_parts().items():
        module = importlib.import_module(f"{perf.__name__}.{part}")
        assert callable(module.rows)
        assert str(module.__doc__).startswith(f"{summary}.")


def test_help_lists_every_part() -> None:
    result = CliRunner().invoke(app, ["perf", "--help"])
    assert all(part in result.output for part in PARTS)


def test_a_part_prints_its_table_and_writes_its_numbers(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["perf", "ndcg", "--json", str(tmp_path / "perf.json")])
    assert result.exit_code == 0, result.output
    assert "nDCG@10 of 512 rankings" in result.output
    (row,) = json.loads((tmp_path / "perf.json").read_text())["rows"]
    assert row["values"]["difference"] == pytest.approx(0, abs=1e-12)
    assert row["values"]["ours_ms"] > 0


def test_a_failing_part_exits_with_1_and_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"work": "w", "ours": "1 s", "against": "2 s", "figure": "2", "target": "-", "met": None, "values": {}}
    monkeypatch.setattr(perf_command, "measured", lambda part: ([], "no memory") if part == "gemm" else ([good], ""))
    result = CliRunner().invoke(app, ["perf", "gemm", "ndcg"])
    assert result.exit_code == 1
    assert "gemm: no memory" in result.output
    assert "1 s" in result.output


def test_an_unknown_part_is_refused_with_the_list_of_parts() -> None:
    result = CliRunner().invoke(app, ["perf", "ndgc"])
    assert result.exit_code == 2
    assert all(part in result.output for part in PARTS)
