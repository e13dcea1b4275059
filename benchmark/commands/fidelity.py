"""``coterie fidelity``: how well each affinity ranks pairs of neurons, as a table and as JSON."""

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
from rich.table import Table

from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.tracking.text import slug

if TYPE_CHECKING:
    from coterie.leaderboard.reports.fidelity import FidelityReport, FidelityRow
    from coterie.methods.fidelity import Fidelity


@dataclass(frozen=True)
class FidelityOptions:
    """The options of ``coterie fidelity``."""

    task: str
    budget: int
    pairs: int
    device: str = "auto"
    output_folder: Path = Path("coterie-out")


def fidelity_command(options: FidelityOptions) -> int:
    """Print Spearman's correlation of every affinity with exact synergies on held-out queries, write it, return 0."""
    from coterie.benchmark.commands.preflight import check_available
    from coterie.benchmark.commands.run import resolve_device
    from coterie.benchmark.runner.loading import load_task, plan_task
    from coterie.leaderboard.reports.fidelity import FidelityReport
    from coterie.methods.fidelity import fidelity
    from coterie.tasks.registry import get_task_spec

    console = Console()
    with exit_on_user_error():
        spec, device = get_task_spec(options.task), resolve_device(options.device)
        check_available(spec, device, None)
    with exit_on_user_error(), console.status(escape(f"{spec.name}: loading")) as status:
        plan = plan_task(spec)
        loaded = load_task(plan, device, lambda step: status.update(escape(f"{spec.name}: {step}")))
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
    return 0


def write_report(report: FidelityReport, output_folder: Path) -> Path:
    """Write fidelity.json to a folder of its own, named after what determines it."""
    from coterie.tracking.files import write_atomic

    determined = f"{report.task_fingerprint} {report.budget} {report.pairs}"
    name = f"{slug(report.task_name)}-{hashlib.sha256(determined.encode()).hexdigest()[:8]}"
    path = output_folder / "fidelity" / name / "fidelity.json"
    try:
        write_atomic(path, report.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; fix: another --output-folder") from None
    return path


def _rows(found: Sequence[Fidelity]) -> list[FidelityRow]:
    """Best first, those without a number last. An interval whose ends are no numbers is none."""
    from coterie.leaderboard.reports.fidelity import FidelityRow

    ordered = sorted(found, key=lambda r: 2.0 if r.spearman is None else -r.spearman)
    return [
        FidelityRow.model_validate({**asdict(row), "low": _end(row.low), "high": _end(row.high)}) for row in ordered
    ]


def _end(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _print(report: FidelityReport, console: Console) -> None:
    table = Table("affinity", box=None, header_style="bold", pad_edge=False)
    for heading in ("Spearman", "95 %", "evaluations", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("note")
    for row in report.rows:
        table.add_row(*_cells(row))
    console.print(table, markup=False)
    console.print(
        f"Rank correlation over {report.pairs} random pairs between the affinity, from discovery queries, and the exact "
        "synergy psi by joint ablation on held-out queries. Interval: bootstrap over pairs and queries. Row pas: exact "
        "synergies on discovery queries, the best that any affinity from them can do; its evaluations are those of all pairs.",
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
