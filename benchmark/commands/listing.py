"""``coterie ls`` and ``coterie info``: what there is, in words."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from coterie.benchmark.errors import UsageError, exit_on_user_error

if TYPE_CHECKING:
    from coterie.tasks.task import TaskSpec

GROUPS = (
    "Planted: the coalitions are known",
    "Bundled: tiny rerankers, nothing to download",
    "Paper: the checkpoints of Hedonic Neurons",
    "Popular: rerankers of the hub as published, for relevance",
)


def print_list(what: str) -> None:
    """Print the tasks, methods, suites or metrics as a table."""
    with exit_on_user_error():
        columns, rows = TABLES[what]()
        if what != "tasks":
            _print_rows(columns, rows)
            return
        for number, (group, members) in enumerate(groupby(rows, lambda row: _group(row[0]))):
            Console().print(f"{chr(10) if number else ''}[bold]{group}[/bold]")
            _print_rows(*_without_constants(columns, list(members)))


def _print_rows(columns: list[str], rows: list[list[str]]) -> None:
    """A table; where names take over half of the width, each stands alone above the rest of its row."""
    console = Console()
    if max(len(row[0]) for row in rows) > console.width // 2:
        for name, *between, last in rows:
            told = ", ".join(f"{column} {cell}" for column, cell in zip(columns[1:-1], between, strict=True))
            console.print(name, markup=False, highlight=False, soft_wrap=True)
            console.print(Padding(escape(f"{told}: {last}" if told else last), (0, 0, 0, 4)), highlight=False)
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)


def _without_constants(columns: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The same without the columns, between the first and the last, that say one thing in all rows."""
    inner = range(1, len(columns) - 1)
    kept = [i for i in range(len(columns)) if i not in inner or len({row[i] for row in rows}) > 1]
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]


def print_info(name: str) -> None:
    """Explain one name, whatever it is."""
    from coterie.benchmark.protocol.metrics.registry import list_metrics
    from coterie.benchmark.protocol.suites import SUITES
    from coterie.methods.registry import list_methods
    from coterie.tasks.config.text import did_you_mean
    from coterie.tasks.registry import list_tasks, split_task_selector

    with exit_on_user_error():
        console, task = Console(highlight=False), split_task_selector(name)[0]
        if name in list_methods():
            _method(console, name)
        elif name in list_metrics():
            _metric(console, name)
        elif name in SUITES:
            _suite(console, name)
        elif task in list_tasks() or task.endswith((".yaml", ".yml")):
            _task(console, name)
        else:
            known = [*list_tasks(), *list_methods(), *SUITES, *list_metrics()]
            raise UsageError(f"unknown name {name!r}{did_you_mean(name, known)}")


def _group(task: str) -> str:
    """Which of :data:`GROUPS` a registered task belongs to: a popular one has the name that its reranker has on the hub."""
    from coterie.tasks.planted.task import PlantedSpec
    from coterie.tasks.registry import get_task_spec

    spec = get_task_spec(task)
    if isinstance(spec, PlantedSpec):
        return GROUPS[0]
    if spec.training is not None:
        return GROUPS[1]
    return GROUPS[3 if task in (spec.reranker.base, spec.reranker.adapter) else 2]


def _tasks() -> tuple[list[str], list[list[str]]]:
    from coterie.tasks.planted.task import PlantedSpec
    from coterie.tasks.registry import get_task_spec, list_tasks

    rows = []
    for spec in (get_task_spec(name) for name in sorted(list_tasks(), key=lambda name: GROUPS.index(_group(name)))):
        kind = ["planted", "-"] if isinstance(spec, PlantedSpec) else [spec.objective, str(spec.layer)]
        rows.append([spec.name, *kind, spec.summary])
    return ["task", "objective", "layer", "summary"], rows


def _methods() -> tuple[list[str], list[list[str]]]:
    from coterie.methods.registry import list_methods

    return ["method", "sees", "summary", "reference"], [
        [name, ", ".join(sorted(cls.sees)) or "nothing", cls.summary(), cls.reference]
        for name, cls in list_methods().items()
    ]


def _suites() -> tuple[list[str], list[list[str]]]:
    from coterie.benchmark.protocol.suites import SUITES

    return ["suite", "summary", "tasks", "methods", "seeds"], [
        [name, s.summary, ", ".join(s.tasks), ", ".join(s.methods), str(s.seeds)] for name, s in SUITES.items()
    ]


def _metrics() -> tuple[list[str], list[list[str]]]:
    from coterie.benchmark.protocol.metrics.registry import list_metrics

    return ["metric", "unit", "better", "needs", "on", "ranked", "summary"], [
        [
            name,
            m.unit,
            "higher" if m.higher_is_better else "lower",
            ", ".join(sorted(m.needs)) or "ablations",
            ", ".join(m.domains),
            "yes" if m.primary else "shown",
            m.summary,
        ]
        for name, m in list_metrics().items()
    ]


TABLES = {"tasks": _tasks, "methods": _methods, "suites": _suites, "metrics": _metrics}


def _method(console: Console, name: str) -> None:
    from inspect import cleandoc

    from coterie.methods.registry import list_methods

    cls = list_methods()[name]
    console.print(f"{name}  (sees {', '.join(sorted(cls.sees)) or 'nothing'})\n{cls.reference}\n", markup=False)
    console.print(cleandoc(cls.__doc__ or ""), markup=False)
    console.print("\nParameters:")
    for parameter, schema in cls.parameter_schema().items():
        description = schema.get("description", "")
        console.print(f"  {parameter} = {schema.get('default')}  {description}", markup=False)


def _metric(console: Console, name: str) -> None:
    from inspect import cleandoc

    from coterie.benchmark.protocol.metrics.registry import list_metrics

    metric = list_metrics()[name]
    direction = "higher" if metric.higher_is_better else "lower"
    ranked = "ranked" if metric.primary else "shown, not ranked,"
    console.print(
        f"{name}  [{metric.unit}], {direction} is better, {ranked} on {', '.join(metric.domains)}", markup=False
    )
    console.print(cleandoc(metric.__doc__ or ""), markup=False)


def _suite(console: Console, name: str) -> None:
    from coterie.benchmark.protocol.suites import SUITES

    suite = SUITES[name]
    cells = len(suite.tasks) * len(suite.methods) * suite.seeds
    console.print(f"{name}: {suite.summary}\n", markup=False)
    console.print(f"  {cells} cells: {len(suite.tasks)} tasks, {len(suite.methods)} methods, {suite.seeds} seeds")
    console.print(f"  budget        {suite.budget} evaluations of the discovery game a method")
    console.print("  tasks         " + "\n                ".join(suite.tasks), markup=False)
    console.print("  methods       " + "\n                ".join(suite.methods), markup=False)
    console.print("\nSettings:")
    for setting, field in type(suite.settings).model_fields.items():
        console.print(f"  {setting} = {getattr(suite.settings, setting)}  {field.description}", markup=False)


def _task(console: Console, name: str) -> None:
    from coterie.benchmark.commands.preflight import unranked
    from coterie.tasks.errors import DataError, RerankerError
    from coterie.tasks.planted.task import PlantedPlan, PlantedSpec
    from coterie.tasks.registry import get_task_spec
    from coterie.tasks.task import plan_task

    spec = get_task_spec(name)
    console.print(f"{spec.name}: {spec.summary}\n", markup=False)
    if isinstance(spec, PlantedSpec):
        console.print(f"  inside        {spec.inside}")
        for parameter, value in spec.planting.model_dump().items():
            console.print(f"  {parameter:<13} {value}")
        console.print(f"  queries       {spec.queries} a split, {spec.depth} pairs each")
        console.print(f"  fingerprint   {PlantedPlan(spec).fingerprint[:16]}")
        if few := unranked(spec):
            console.print(f"  note: {few}", markup=False, soft_wrap=True)
        return
    source = spec.reranker.base + (f" + {spec.reranker.adapter}" if spec.reranker.adapter else "")
    console.print(f"  reranker      {source}", markup=False, soft_wrap=True)
    console.print(
        f"  site          {spec.players} of layer {spec.layer}, intervention {spec.intervention}, readout {spec.readout}"
    )
    if spec.layers:
        console.print(
            f"  layers        {', '.join(map(str, spec.layers))}: {spec.name.partition('[')[0]}[layer={spec.layers[0]}]",
            markup=False,
            soft_wrap=True,
        )
    console.print(f"  objective     {spec.objective}")
    domains = [spec.data.source, *spec.data.transfer]
    console.print("  collections   " + ", ".join(f"{d.name} ({d.collection})" for d in domains), markup=False)
    try:
        _size(console, spec)
        plan = plan_task(spec)
    except (DataError, RerankerError) as error:
        console.print(f"  not here      {error}", markup=False, soft_wrap=True)
        return
    for split, rows in plan.pairs.items():
        cut = plan.inputs.in_words(split, spec.reranker.template.max_length)
        console.print(
            f"  {split:<13} {len({p.query_id for p in rows})} queries, {len(rows)} pairs" + (f"; {cut}" if cut else ""),
            soft_wrap=True,
        )
    console.print(f"  data revision {plan.dataset_revision[:16]}\n  fingerprint   {plan.fingerprint[:16]}")
    for warning in (*plan.warnings, *filter(None, [unranked(spec)])):
        console.print(f"  note: {warning}", markup=False, soft_wrap=True)


def _size(console: Console, spec: TaskSpec) -> None:
    """Memory and time that the task needs, from the configuration and a matrix product timed here."""
    from coterie.benchmark.commands.preflight import queries_of
    from coterie.benchmark.runner.environment import flops_per_second
    from coterie.tasks.memory import gigabytes, need_of
    from coterie.tasks.rerankers.checkpoint import describe
    from coterie.tasks.task_check import check_task, with_one_count

    size = describe(spec.reranker)
    check_task(spec, size)
    need = need_of(with_one_count(spec, dict(queries_of(spec))), size)
    queries, tokens = spec.data.queries, spec.reranker.template.max_length
    later = (size.layers - 1 - spec.layer) / size.layers
    flops = 2 * size.parameters * later * tokens * spec.data.candidates * queries.heldout
    rate = flops_per_second()
    console.print(
        f"  model         {size.model_type}, {size.layers} layers, d_model {size.d_model}, {size.players} neurons a layer, "
        f"{size.parameters:,} parameters",
        soft_wrap=True,
    )
    if size.encoder_layers:
        console.print(
            f"  stacks        layers 0 to {size.encoder_layers - 1} are the encoder's, {size.encoder_layers} to "
            f"{size.layers - 1} the decoder's"
        )
    if size.window is not None and size.window < tokens:
        console.print(f"  window        in some or all layers, a token sees the {size.window} before it alone")
    if later:
        console.print(f"  replay        later layers are computed {size.replay}")
    console.print(
        f"  memory        at most {gigabytes(need.total)}: {gigabytes(need.weights)} of weights, {gigabytes(need.cache)} of "
        f"cached activations ({need.pairs} pairs), {gigabytes(need.replay)} to replay, {gigabytes(need.affinities)} of "
        f"affinities",
        soft_wrap=True,
    )
    console.print(
        f"  time          at most {flops / rate:.2g} s an ablation of the held-out queries at the {rate / 1e9:.0f} GFLOP/s "
        f"of this processor; a method costs a few hundred",
        soft_wrap=True,
    )
