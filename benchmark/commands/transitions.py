"""`coterie transitions`: what becomes of a method's coalitions from layer to layer, as a table and a diagram."""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from coterie.benchmark.commands.tables import plain_table
from coterie.benchmark.errors import ExitCode, UsageError, exit_on_user_error
from coterie.tracking.text import slug

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from coterie.benchmark.transitions.report import LayerArrays, Options
    from coterie.leaderboard.reports.transitions import Count, LayerCoalitions, TransitionsReport
    from coterie.methods.base import Method
    from coterie.methods.coalitions import Coalitions
    from coterie.tasks.reranker_game import RerankerGame
    from coterie.tasks.reranker_task import RerankerTaskPlan
    from coterie.tracking.record import Record


class MethodFailedError(RuntimeError):
    """The method raised an exception, or cannot run on this task."""


@dataclass(frozen=True)
class TransitionsOptions:
    """The options of `coterie transitions`."""

    task: str
    """Task name, with changes in brackets, or path of a task file."""
    method: str
    """Selector of the method."""
    layers: str
    """First and last layer, such as `1-3`."""
    compare: Options
    """How coalitions are compared."""
    budget: int
    """Evaluations that the method may spend per layer."""
    show: int = 16
    """Coalitions per layer in the diagram; the others are drawn as one."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    output_folder: Path = Path("coterie-out")
    """Folder of the records, and of the report."""
    include: tuple[Path, ...] = ()
    """Python files with methods."""


def parse_layers(text: str) -> tuple[int, int]:
    """Parse `1-3` into (1, 3). Raises `UsageError`."""
    found = re.fullmatch(r"(\d{1,4})-(\d{1,4})", text)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if first >= last:
        raise UsageError(f"--layers: expected the first and a later layer, got {text!r}; fix: --layers 1-3")
    return first, last


def transitions_command(options: TransitionsOptions) -> ExitCode:
    """Print the events per pair of layers, and write the report and the diagram."""
    from coterie.benchmark.runner.environment import resolve_device
    from coterie.methods.registry import get_method, include
    from coterie.tracking.store import RecordStore

    console = Console()
    with exit_on_user_error():
        for path in options.include:
            include(path)
        method, device = get_method(options.method), resolve_device(options.device)
        plans = _plans(options, console)
        store = RecordStore(options.output_folder)
        store.check_writable()
        stored = stored_coalitions(store.scan().records, plans, method, options.budget, options.compare.seed)
        with console.status("") as status:

            def step(text: str) -> None:
                status.update(escape(f"{options.task}: {text}"))

            try:
                report = _report(options, method, plans, stored, device, step)
            except MethodFailedError as error:
                print(f"failed: {error}", file=sys.stderr)
                return ExitCode.FAILED
            step("drawing")
            written = write_report(report, options.output_folder, options.show)
    _print(report, console)
    console.print("Written: " + ", ".join(str(path) for path in written), highlight=False, soft_wrap=True, markup=False)
    return ExitCode.OK


def _plans(options: TransitionsOptions, console: Console) -> list[RerankerTaskPlan]:
    """The plans of the task at each layer. No model is loaded."""
    from coterie.tasks.registry import at_layer
    from coterie.tasks.reranker_task import plan_reranker_task
    from coterie.tasks.rerankers.size import describe
    from coterie.tasks.task_check import check_site

    first, last = parse_layers(options.layers)
    specs = [at_layer(options.task, layer) for layer in range(first, last + 1)]
    size = describe(specs[0].reranker)
    if last >= size.layers:
        raise UsageError(f"--layers: expected 0 to {size.layers - 1}, got {last}; fix: layers of the task's reranker")
    check_site(specs[0], size)
    with console.status(escape(f"{options.task}: reading texts")):
        return [plan_reranker_task(spec) for spec in specs]


def stored_coalitions(
    records: Sequence[Record], plans: Sequence[RerankerTaskPlan], method: Method, budget: int, seed: int
) -> dict[int, Record]:
    """Layer -> a finished cell of this task, method, budget and seed, regardless of how its coalitions were scored."""
    from coterie.benchmark.protocol.settings import PROTOCOL
    from coterie.methods.identity import code_hash

    layer_of = {(plan.name, plan.fingerprint): plan.spec.layer for plan in plans}
    wanted = (PROTOCOL, method.name, method.parameters, code_hash(type(method)), budget, seed)
    found: dict[int, Record] = {}
    for record in records:
        cell = record.identity
        layer = layer_of.get((cell.task_name, cell.task_fingerprint))
        same = (cell.protocol, cell.method_name, cell.parameters, cell.code_hash, cell.budget, cell.seed) == wanted
        if layer is not None and same and record.status == "ok":
            found.setdefault(layer, record)
    return found


def _report(
    options: TransitionsOptions,
    method: Method,
    plans: Sequence[RerankerTaskPlan],
    stored: dict[int, Record],
    device: str,
    step: Callable[[str], None],
) -> TransitionsReport:
    from coterie.benchmark.transitions.report import LayerArrays, layer_coalitions, layer_pair
    from coterie.leaderboard.reports.transitions import TransitionsReport
    from coterie.methods.identity import code_hash
    from coterie.tasks.layers import open_layers

    compare = options.compare
    layers: list[tuple[LayerCoalitions, LayerArrays]] = []
    for plan, opened in zip(plans, open_layers(plans, device, step), strict=True):
        record = stored.get(opened.layer)
        step(f"layer {opened.layer}: {method.selector} proposing coalitions")
        found = _of_record(record, opened.game) if record else _discovered(method, opened.game, plan, options)
        kept = layer_coalitions(
            opened.layer, opened.game.n_players, found.groups, compare.smallest, from_record=record is not None
        )
        layers.append((kept, LayerArrays(opened.reads, opened.writes, opened.activity)))
    step(f"comparing with {compare.draws} draws of random coalitions")
    return TransitionsReport(
        coterie_version=version("coterie"),
        task_name=options.task,
        task_fingerprints=[plan.fingerprint for plan in plans],
        method=method.selector,
        code_hash=code_hash(type(method)),
        budget=options.budget,
        seed=compare.seed,
        all_pairs=compare.all_pairs,
        smallest=compare.smallest,
        draws=compare.draws,
        warnings=list(dict.fromkeys(warning for plan in plans for warning in plan.warnings)),
        layers=[kept for kept, _ in layers],
        pairs=[layer_pair(a, b, before, after, compare) for (a, before), (b, after) in pairwise(layers)],
    )


def _discovered(method: Method, game: RerankerGame, plan: RerankerTaskPlan, options: TransitionsOptions) -> Coalitions:
    """Let the method propose coalitions exactly as in a cell of `coterie run`. Raises `MethodFailedError`."""
    from coterie.benchmark.protocol.seeding import generator

    reason = method.skip_reason(game)
    if reason is not None:
        raise MethodFailedError(reason)
    try:
        restricted = game.restricted_to(method.sees, options.budget)
        return method.discover(restricted, options.budget, generator(plan.fingerprint, options.compare.seed))
    except Exception as error:  # a method may raise anything
        raise MethodFailedError(f"{method.selector}: {type(error).__name__}: {error}") from error


def _of_record(record: Record, game: RerankerGame) -> Coalitions:
    """The coalitions of a record, validated because the record may come from another person."""
    from coterie.methods.coalitions import Coalitions

    groups = [] if record.coalitions is None else record.coalitions.groups
    try:
        return Coalitions.of(game.n_players, groups)
    except ValueError as error:
        raise UsageError(
            f"record {record.identity_digest[:16]} of {record.task_name}: {error}; fix: remove it from records/"
        ) from None


def write_report(report: TransitionsReport, output_folder: Path, show: int) -> list[Path]:
    """Write transitions.json, .html, .png and .svg to their own folder, whose name contains a hash of the options."""
    from coterie.benchmark.transitions.page import page
    from coterie.benchmark.transitions.picture import draw
    from coterie.leaderboard.reports.flow import diagram
    from coterie.tracking.files import write_atomic

    text = report.model_dump_json(indent=1)
    determined = report.model_dump_json(
        include={"task_fingerprints", "method", "code_hash", "budget", "seed", "smallest", "all_pairs"}
    )
    thresholds = [(pair.alpha, pair.beta) for pair in report.pairs]
    digest = hashlib.sha256(f"{determined}{thresholds}{show}".encode()).hexdigest()[:8]
    first, last = report.layers[0].layer, report.layers[-1].layer
    name = f"{slug(report.task_name)}-{slug(report.method)}-layers-{first}-{last}-{digest}"
    folder = output_folder / "transitions" / name
    layout = diagram(report, show)
    paths = [folder / f"transitions.{ending}" for ending in ("json", "html", "png", "svg")]
    write_atomic(paths[0], text)
    write_atomic(paths[1], page(report, layout))
    title = f"{report.task_name}, {report.method}, seed {report.seed}"
    draw(layout, title if not layout.note else f"{title}\n{layout.note}", paths[2], paths[3])
    return paths


def _print(report: TransitionsReport, console: Console) -> None:
    console.print(f"{report.task_name}, {report.method}, seed {report.seed}", markup=False, highlight=False)
    for layer in report.layers:
        left_out = f", {layer.left_out} smaller ones left out" if layer.left_out else ""
        origin = " (from a finished cell)" if layer.from_record else ""
        console.print(
            f"  layer {layer.layer}: {len(layer.coalitions)} coalitions of at least {report.smallest} of "
            f"{layer.n_players} neurons{left_out}{origin}",
            highlight=False,
        )
    headings = ("layers", "event", "count", "share", "by chance", "95 % of draws")
    table = plain_table(headings, left=("layers", "event"))
    for pair in report.pairs:
        for row in pair.counts:
            table.add_row(f"{pair.source_layer} to {pair.target_layer}", row.event, *_cells(row))
        table.add_section()
    console.print(table)
    thresholds = "; ".join(
        f"alpha {pair.alpha:.3f}, beta {pair.beta:.3f} ({pair.source_layer} to {pair.target_layer})"
        for pair in report.pairs
    )
    console.print(
        f"share: of the earlier layer's coalitions; for emerge, of the later layer's. by chance: {report.draws} draws of random "
        f"coalitions of the same sizes. Thresholds: {thresholds}."
        + (" Pairs beyond the matching count too." if report.all_pairs else ""),
        highlight=False,
    )
    for warning in report.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False)


def _cells(row: Count) -> list[str]:
    if row.share is None or row.chance is None:
        return [str(row.count), "-", "-", "-"]
    return [str(row.count), f"{row.share:.0%}", f"{row.chance:.0%}", f"{row.chance_low:.0%} to {row.chance_high:.0%}"]
