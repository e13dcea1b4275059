"""`coterie fidelity`: how well each affinity ranks pairs of neurons, as a table and as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from coterie.benchmark.commands.tables import plain_table
from coterie.benchmark.errors import ExitCode, exit_on_user_error, writing
from coterie.tracking.text import slug

if TYPE_CHECKING:
    from coterie.leaderboard.reports.fidelity import FidelityReport, FidelityRow
    from coterie.methods.fidelity import Fidelity


@dataclass(frozen=True)
class FidelityOptions:
    """The options of `coterie fidelity`."""

    task: str
    """Task name, with changes in brackets, or path of a task file."""
    budget: int
    """Evaluations that each affinity may spend."""
    pairs: int
    """Number of random pairs with exact synergy."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    output_folder: Path = Path("coterie-out")
    """Folder that the report is written to."""


def fidelity_command(options: FidelityOptions) -> ExitCode:
    """Print and write how well every affinity correlates (Spearman) with exact synergies on held-out queries."""
    from coterie.benchmark.commands.preflight import checked_plan
    from coterie.benchmark.runner.environment import resolve_device
    from coterie.leaderboard.reports.fidelity import FidelityReport
    from coterie.methods.fidelity import fidelity
    from coterie.tasks.registry import get_task_spec

    console = Console()
    with exit_on_user_error():
        spec, device = get_task_spec(options.task), resolve_device(options.device)
        plan = checked_plan(spec, device, None)
    with exit_on_user_error(), console.status(escape(f"{spec.name}: loading")) as status:
        loaded = plan.load(device, lambda step: status.update(escape(f"{spec.name}: {step}")))
        status.update(
            escape(f"{spec.name}: exact synergy of {options.pairs} pairs on held-out queries, then every affinity")
        )
        discovery, heldout = loaded.discovery, loaded.heldout
        found = fidelity(discovery, heldout, heldout.query_of_pair, options.budget, n_pairs=options.pairs)
    report = FidelityReport(
        coterie_version=version("coterie"),
        task_name=plan.name,
        task_fingerprint=plan.fingerprint,
        budget=options.budget,
        pairs=options.pairs,
        rows=_rows(found),
    )
    _print(report, console)
    with exit_on_user_error():
        path = write_report(report, options.output_folder)
    console.print(f"Written: {path}", highlight=False, soft_wrap=True, markup=False)
    return ExitCode.OK


def write_report(report: FidelityReport, output_folder: Path) -> Path:
    """Write `fidelity.json` to its own folder, whose name contains a hash of task, budget and number of pairs."""
    from coterie.tracking.files import write_atomic

    determined = f"{report.task_fingerprint} {report.budget} {report.pairs}"
    name = f"{slug(report.task_name)}-{hashlib.sha256(determined.encode()).hexdigest()[:8]}"
    path = output_folder / "fidelity" / name / "fidelity.json"
    with writing(path, "another --output-folder"):
        write_atomic(path, report.model_dump_json(indent=1) + "\n")
    return path


def _rows(found: Sequence[Fidelity]) -> list[FidelityRow]:
    """The rows, best first and those without a correlation last. Infinite ends of an interval become None."""
    from coterie.leaderboard.reports.fidelity import FidelityRow

    ordered = sorted(found, key=lambda r: 2.0 if r.spearman is None else -r.spearman)
    return [
        FidelityRow.model_validate({**asdict(row), "low": _end(row.low), "high": _end(row.high)}) for row in ordered
    ]


def _end(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _print(report: FidelityReport, console: Console) -> None:
    headings = ("affinity", "Spearman", "95 % interval", "evaluations", "seconds", "note")
    table = plain_table(headings, left=("affinity", "note"))
    for row in report.rows:
        table.add_row(*_cells(row))
    console.print(table, markup=False)
    console.print(
        f"Spearman: rank correlation, over {report.pairs} random pairs of neurons, of the affinity on discovery queries with "
        "the exact synergy psi, by joint ablation, on held-out queries. Interval: bootstrap over pairs and queries. Row pas: "
        "exact synergies on discovery queries, an upper bound for every affinity; its evaluations cover all pairs of the task.",
        soft_wrap=False,
        highlight=False,
    )


def _cells(row: FidelityRow) -> list[str]:
    cost = [f"{row.evaluations:,}", f"{row.seconds:.1f}"]
    if row.spearman is None:
        return [row.affinity, "-", "", *cost, str(row.reason)]
    note = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in row.notes.items())
    interval = "" if row.low is None or row.high is None else f"[{row.low:.2f}, {row.high:.2f}]"
    return [row.affinity, f"{row.spearman:.3f}", interval, *cost, note]
