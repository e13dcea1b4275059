"""``coterie partitions``: the sizes of published partitions' coalitions, as a table, JSON and Markdown."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from coterie.benchmark.errors import UsageError, exit_on_user_error

FAILED = 1
COLUMNS = ("model", "affinity", "layer", "neurons", "coalitions", "largest", "singletons", "eligible", "covered")
QUANTILES = ("median", "90 %", "99 %")
NOTE = (
    "Shares of the layer's neurons. largest: in the largest coalition; singletons: in a coalition of one; eligible: "
    "coalitions of 2 to n/8 neurons, which the protocol evaluates; covered: in an eligible one. median, 90 %, 99 %: "
    "quantiles of the coalitions' sizes. The table by affinity and model: mean (smallest to largest) over the layers."
)


def partitions_command(folder: Path, json_file: Path | None, markdown_file: Path | None) -> int:
    """Print the table, write what is asked for. Returns 1 where a file was refused."""
    from coterie.benchmark.partitions import PartitionError, read_partitions, summaries

    with exit_on_user_error():
        try:
            found, refused = read_partitions(folder)
        except PartitionError as error:
            raise UsageError(str(error)) from None
        for reason in refused:
            print(f"left out: {reason}", file=sys.stderr)
        if not found:
            raise UsageError(f"{folder}: no partition that could be read; fix: see the lines above")
        rows, summary = [p.to_dict() for p in found], summaries(found)
        console = Console()
        wide = console if console.is_terminal else Console(width=160)
        wide.print(_table((*COLUMNS, *QUANTILES), _cells(rows)))
        wide.print(_table(SUMMARY, _summary_cells(summary)))
        console.print(NOTE, markup=False, highlight=False)
        _write(json_file, json.dumps({"partitions": rows, "summary": summary, "refused": refused}, indent=1) + "\n")
        _write(markdown_file, _markdown(rows, summary))
    return FAILED if refused else 0


SUMMARY = ("affinity", "model", "layers", "coalitions", "largest", "singletons", "eligible", "covered")


def _cells(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    from coterie.leaderboard.statistics.sizes import QUANTILES as POINTS

    shown = [POINTS.index(q) for q in (0.5, 0.9, 0.99)]
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
            *(f"{row['quantiles'][i]:,}" for i in shown),
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
    """``7 to 14``, or each of them where one is left out."""
    whole = list(layers) == list(range(layers[0], layers[-1] + 1)) and len(layers) > 2
    return f"{layers[0]} to {layers[-1]}" if whole else ", ".join(map(str, layers))


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _spread(values: Sequence[float], form: str) -> str:
    mean, low, high = (form.format(value) for value in values)
    return mean if low == high else f"{mean} ({low} to {high})"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in ("model", "affinity") else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _markdown(rows: Sequence[dict[str, Any]], summary: Sequence[dict[str, Any]]) -> str:
    def block(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
        rule = ["---" if column in ("model", "affinity") else "---:" for column in columns]
        return "".join(f"| {' | '.join(line)} |\n" for line in (columns, rule, *cells))

    by_layer = block((*COLUMNS, *QUANTILES), _cells(rows))
    return f"{block(SUMMARY, _summary_cells(summary))}\n{by_layer}\n{NOTE}\n"


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        path.write_text(text, "utf8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; fix: another path") from None
    print(f"Written: {path}")
