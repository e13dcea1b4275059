"""Make the tables and the picture of docs/results.md from the records of `coterie run --suite paper-small`.

    python docs/tables/paper_small.py coterie-out docs/results.md

writes the tables between the document's two markers, and the picture into `images/` beside it. The first line counts the cells;
missing ones are not filled in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from math import floor, log10
from pathlib import Path

from coterie.benchmark.protocol.suites import SUITES
from coterie.leaderboard import compile_board
from coterie.leaderboard.board.summary import Mean, entry_mean, head_to_head, mean_over_tasks
from coterie.leaderboard.board.types import Board, TaskBoard
from coterie.leaderboard.display.drawing import own_style
from coterie.methods.registry import get_method
from coterie.tracking.store import RecordStore

RANKED = (
    "synergy_pair/heldout",
    "synergy_excess/heldout",
    "synergy_joint/heldout",
    "ndcg_drop/heldout",
    "ndcg_drop/transfer",
    "ood_r2/transfer",
    "alignment_r2/heldout",
)
SHOWN = ("synergy_ratio/heldout", "synergy_joint_margin/heldout", "ndcg_curve/heldout")
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
_ORDER = [get_method(m).selector for m in SUITES["paper-small"].methods]
EQUAL_INFORMATION = (
    ("hedonic-oca", "hierarchical"),
    ("hedonic-oca", "leiden[resolution=4.0]"),
    ("hedonic-oca", "kmeans-activations"),
    ("hedonic-pas", "hierarchical[affinity=pas-hessian]"),
    ("hedonic-pas", "leiden[affinity=pas-hessian,resolution=4.0]"),
    ("hedonic-pas", "kmeans-activations"),
    ("hedonic-oca", "random"),
    ("hedonic-pas", "random"),
    ("hedonic-oca", "kmeans-weights"),
    ("hedonic-pas", "kmeans-weights"),
)


def main(folder: Path, document: Path) -> None:
    """Write the tables into the document and the picture beside it."""
    board = compile_board(RecordStore(folder).all())
    selectors = {get_method(m).selector for m in SUITES["paper-small"].methods}
    methods = [e.label for e in sorted(board.entries, key=lambda e: _ORDER.index(e.label)) if e.label in selectors]
    lines = _coverage(board)
    for title, select in _groups(board):
        lines += ["", f"### {title}", "", *_table(board, methods, select)]
    lines += ["", "### Head to head", "", *_head_to_head(board)]
    lines += ["", "### Sizes, agreement, stability, optimism", "", *_shape(board, methods)]
    lines += ["", "### Overall", "", *_overall(board)]
    picture = _draw(board, methods, document.parent / "images" / "paper-small-by-layer.png")
    before, _, rest = document.read_text("utf8").partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(before + BEGIN + "\n\n" + "\n".join(lines) + "\n\n" + END + after, "utf8")
    print(f"Written: {document}, {picture}")


def _coverage(board: Board) -> list[str]:
    layers: dict[int, int] = {}
    for task in board.tasks:
        layers[task.info.layer] = layers.get(task.info.layer, 0) + 1
    suite = SUITES["paper-small"]
    cells = len(suite.tasks) * len(suite.methods) * suite.seeds
    found = ", ".join(f"layer {layer}: {count} of 9 tasks" for layer, count in sorted(layers.items()))
    return [f"{board.n_records} of {cells} cells ({found})."]


def _groups(board: Board) -> Iterator[tuple[str, Callable[[TaskBoard], bool]]]:
    yield "All objectives", lambda _task: True
    for objective in sorted({task.info.objective for task in board.tasks}):
        yield f"Objective {objective}", lambda task, o=objective: task.info.objective == o  # type: ignore[misc]


def _table(board: Board, methods: list[str], select: Callable[[TaskBoard], bool]) -> list[str]:
    keys = (*RANKED, *SHOWN)
    lines = ["| method | " + " | ".join(keys) + " |", "|---|" + "---:|" * len(keys)]
    for method in methods:
        cells = [_number(entry_mean(board, key, method, select=select)) for key in keys]
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    return lines


def _head_to_head(board: Board) -> list[str]:
    lines = ["| first, second | " + " | ".join(RANKED) + " |", "|---|" + "---|" * len(RANKED)]
    for first, second in EQUAL_INFORMATION:
        cells = []
        for key in RANKED:
            found = head_to_head(board, key, first, second)
            cells.append(f"{_number(found.difference)}; {found.wins} / {found.losses} / {found.ties}")
        lines.append(f"| `{first}`, `{second}` | " + " | ".join(cells) + " |")
    return lines


def _shape(board: Board, methods: list[str]) -> list[str]:
    shares = ("largest", "singletons", "left-out", "covered")
    lines = [
        "| method | " + " | ".join(shares) + " | agreement of seeds | PAC: share that blocks | by chance | "
        "nDCG drop, seen | nDCG drop, held-out | joint, seen | joint, held-out |",
        "|---|" + "---:|" * (len(shares) + 7),
    ]
    for method in methods:
        cells = [_plain(entry_mean(board, f"sizes/{share}", method)) for share in shares]
        agreed = [
            (t.task_name, a.ami) for t in board.tasks for a in t.agreement if a.entry == method and a.ami is not None
        ]
        cells.append(_plain(mean_over_tasks(agreed)))
        cells += [_number(entry_mean(board, "pac_blocking/heldout", method, f)) for f in ("value", "control_value")]
        for key in ("ndcg_drop/heldout", "synergy_joint/heldout"):
            cells += [_number(entry_mean(board, key, method, f)) for f in ("discovery_value", "method_value")]
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    return lines


def _overall(board: Board) -> list[str]:
    lines = ["| method | mean rank | note |", "|---|---:|---|"]
    for row in board.overall.rows:
        rank = "-" if row.mean_rank is None else f"{row.mean_rank:.2f}"
        rank += "" if row.low is None or row.high is None else f" [{row.low:.2f}, {row.high:.2f}]"
        lines.append(f"| `{row.entry}` | {rank} | {row.reason or ''} |")
    return lines


def _number(mean: Mean | None, places: int | None = None) -> str:
    """The mean and its interval, with `places` decimals or, by default, two digits of the interval's half-width."""
    if mean is None:
        return "-"
    if places is None:
        half = (mean.high - mean.low) / 2 if mean.high is not None and mean.low is not None else 0
        places = min(5, max(0, 1 - floor(log10(half)))) if half > 0 else 3
    interval = "" if mean.low is None or mean.high is None else f" [{mean.low:.{places}f}, {mean.high:.{places}f}]"
    return f"{mean.value:+.{places}f}{interval}"


def _plain(mean: Mean | None) -> str:
    return "-" if mean is None else f"{mean.value:.2f}"


def _draw(board: Board, methods: list[str], path: Path) -> Path:
    """Draw one panel per metric and one line per method: mean over the nine rerankers, with its interval, against the layer."""
    with own_style():
        return _drawn(board, methods, path)


def _drawn(board: Board, methods: list[str], path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = sorted({task.info.layer for task in board.tasks})
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 4).flatten()
    for axis, key in zip(axes, (*RANKED, "ndcg_curve/heldout"), strict=True):
        for number, method in enumerate(methods):
            means = [(x, entry_mean(board, key, method, select=lambda t, x=x: t.info.layer == x)) for x in layers]  # type: ignore[misc]
            points = [(x + 0.06 * (number - len(methods) / 2), m) for x, m in means if m is not None]
            errors = [[m.value - (m.low if m.low is not None else m.value) for _, m in points],
                      [(m.high if m.high is not None else m.value) - m.value for _, m in points]]  # fmt: skip
            axis.errorbar(
                [x for x, _ in points], [m.value for _, m in points], errors, label=method, capsize=2,
                marker="osD^vPX*h<"[number % 10], linewidth=1, markersize=4, color=f"C{number % 10}",
            )  # fmt: skip
        axis.axhline(0, color="0.5", linewidth=0.8)
        axis.set_title(key, fontsize=10)
        axis.set_xticks(layers)
        axis.set_xlabel("layer")
        axis.grid(alpha=0.25)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
