"""Print a table of how well each method recovers the coalitions of each planted game.

    python docs/tables/recovery_table.py OUTPUT_FOLDER [recovery_omega|recovery_ami]

reads the records of `coterie run --suite planted` and prints Markdown. The numbers are the methods' own values, as a mean over
seeds: 1 is the truth, 0 is chance.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from coterie.tracking.store import RecordStore


def table(folder: Path, metric: str) -> list[str]:
    """The lines of the table, best mean first. `-` means that the method proposed no coalition to compare."""
    cells: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    tasks: set[str] = set()
    for record in RecordStore(folder).all():
        measure = record.score(f"{metric}/heldout")
        if measure is None:
            continue
        tasks.add(record.task_name)
        if measure.method_value is not None:
            cells[record.method.selector][record.task_name].append(measure.method_value)
    columns = sorted(tasks)
    means = {m: {t: sum(v) / len(v) for t, v in row.items()} for m, row in cells.items()}
    lines = ["| method | mean | " + " | ".join(t.removeprefix("planted/") for t in columns) + " |"]
    lines.append("|---|" + "---|" * (len(columns) + 1))
    for method in sorted(means, key=lambda m: -sum(means[m].values()) / len(columns)):
        row = means[method]
        values = " | ".join(f"{row[t]:.2f}" if t in row else "-" for t in columns)
        lines.append(f"| {method} | {sum(row.values()) / len(columns):.2f} | {values} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "recovery_omega")))
