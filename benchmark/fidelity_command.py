"""``coterie fidelity``: how well each affinity ranks pairs of neurons, as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from coterie.benchmark.errors import told_in_one_line


def fidelity_command(task: str, budget: int, pairs: int, device: str) -> int:
    """Print Spearman's correlation of every affinity with exact synergies on held-out queries. Returns the exit code."""
    from coterie.benchmark.commands import resolve_device
    from coterie.benchmark.loading import load_task, plan_task
    from coterie.methods.fidelity import Fidelity, fidelity
    from coterie.tasks.registry import get_task_spec

    console = Console()
    with told_in_one_line():
        spec, device = get_task_spec(task), resolve_device(device)
    with console.status(f"{spec.name}: loading") as status:
        loaded = load_task(plan_task(spec), device, lambda step: status.update(f"{spec.name}: {step}"))
        status.update(f"{spec.name}: exact synergy of {pairs} pairs on held-out queries, then every affinity")
        rows = fidelity(loaded.discovery, loaded.heldout, loaded.heldout.query_of_pair, budget, n_pairs=pairs)

    table = Table("affinity", box=None, header_style="bold", pad_edge=False)
    for heading in ("Spearman", "95 %", "evaluations", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("note")

    def cells(row: Fidelity) -> list[str]:
        if row.spearman is None:
            return [row.affinity, "-", "", f"{row.evaluations:,}", f"{row.seconds:.1f}", str(row.reason)]
        note = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in row.notes.items())
        interval = f"[{row.low:.2f}, {row.high:.2f}]"
        return [row.affinity, f"{row.spearman:.3f}", interval, f"{row.evaluations:,}", f"{row.seconds:.1f}", note]

    for row in sorted(rows, key=lambda r: -2.0 if r.spearman is None else -r.spearman):
        table.add_row(*cells(row))
    console.print(table, markup=False)
    console.print(
        f"Rank correlation over {pairs} random pairs between the affinity, from discovery queries, and the exact synergy "
        "psi by joint ablation on held-out queries. Interval: bootstrap over pairs and queries. Row pas: exact synergies on "
        "discovery queries, the best that any affinity from them can do; its evaluations are those of all pairs.",
        soft_wrap=False,
        highlight=False,
    )
    return 0
