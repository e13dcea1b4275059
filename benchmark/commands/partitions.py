"""`coterie partitions`: the sizes of the coalitions in published partitions, as tables, JSON and Markdown."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from coterie.benchmark.commands.published_partitions import read_partitions, summaries
from coterie.benchmark.commands.tables import plain_table, wide_console
from coterie.benchmark.errors import ExitCode, UsageError, exit_on_user_error, writing
from coterie.leaderboard.statistics.sizes import LARGEST_SHARE, SMALLEST
from coterie.leaderboard.statistics.sizes import QUANTILES as LEVELS

COLUMNS = ("model", "affinity", "layer", "neurons", "coalitions", "largest", "singletons", "eligible", "covered")
QUANTILES = ("median", "90 %", "99 %")
SUMMARY = ("affinity", "model", "layers", "coalitions", "largest", "singletons", "eligible", "covered")
_LEFT = ("model", "affinity")
NOTE = (
    "Percentages are shares of the layer's neurons. largest: in the largest coalition. singletons: in coalitions of one. "
    f"eligible: number of coalitions of {SMALLEST} to n/{1 / LARGEST_SHARE:.0f} neurons, which the protocol evaluates. "
    "covered: in eligible coalitions. median, 90 %, 99 %: quantiles of the coalitions' sizes. Per affinity and model: mean "
    "(smallest to largest) over the layers."
)


def partitions_command(folder: Path, json_file: Path | None, markdown_file: Path | None) -> ExitCode:
    """Print the tables, and write them to the files that are requested."""
    with exit_on_user_error():
        found, refused = read_partitions(folder)
        for reason in refused:
            print(f"left out: {reason}", file=sys.stderr)
        if not found:
            raise UsageError(f"{folder}: expected a readable partition, got none; fix: the problems above")
        rows, summary = [p.to_dict() for p in found], summaries(found)
        wide = wide_console()
        wide.print(_table((*COLUMNS, *QUANTILES), _cells(rows)))
        wide.print(_table(SUMMARY, _summary_cells(summary)))
        Console().print(NOTE, markup=False, highlight=False)
        _write(json_file, json.dumps({"partitions": rows, "summary": summary, "refused": refused}, indent=1) + "\n")
        _write(markdown_file, _markdown(rows, summary))
    return ExitCode.FAILED if refused else ExitCode.OK


def _cells(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    printed = [LEVELS.index(q) for q in (0.5, 0.9, 0.99)]
    return [
        [
            row["model"],
            row["affinity"],
            str(row["layer"]),
            f"{row['n_players']:,}",
            f"{row['number']:,}",
            _percent(row["largest_share"]),
            _percent(row["singleton_share"]),
            f"{row['eligible']:,}",
            _percent(row["covered_share"]),
            *(f"{row['quantiles'][i]:,}" for i in printed),
        ]
        for row in rows
    ]


def _summary_cells(summary: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            row["affinity"],
            row["model"],
            _layers(row["layers"]),
            _spread(row["number"], "{:,.0f}"),
            _spread(row["largest_share"], "{:.1%}"),
            _spread(row["singleton_share"], "{:.1%}"),
            _spread(row["eligible"], "{:,.0f}"),
            _spread(row["covered_share"], "{:.1%}"),
        ]
        for row in summary
    ]


def _layers(layers: Sequence[int]) -> str:
    """`7 to 14`, or the whole list if it has gaps."""
    consecutive = list(layers) == list(range(layers[0], layers[-1] + 1)) and len(layers) > 2
    return f"{layers[0]} to {layers[-1]}" if consecutive else ", ".join(map(str, layers))


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _spread(values: Sequence[float], form: str) -> str:
    """`mean (smallest to largest)`, or one number if all are equal."""
    mean, low, high = (form.format(value) for value in values)
    return mean if low == high else f"{mean} ({low} to {high})"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = plain_table(columns, _LEFT)
    for row in rows:
        table.add_row(*row)
    return table


def _markdown(rows: Sequence[dict[str, Any]], summary: Sequence[dict[str, Any]]) -> str:
    def block(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
        rule = ["---" if column in _LEFT else "---:" for column in columns]
        return "".join(f"| {' | '.join(line)} |\n" for line in (columns, rule, *cells))

    by_layer = block((*COLUMNS, *QUANTILES), _cells(rows))
    return f"{block(SUMMARY, _summary_cells(summary))}\n{by_layer}\n{NOTE}\n"


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    with writing(path, "another file"):
        path.write_text(text, "utf8")
    print(f"Written: {path}")
