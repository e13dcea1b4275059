"""`coterie ls` and `coterie info`: list and explain tasks, methods, suites and metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from inspect import cleandoc
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.benchmark.quantities import format_count

if TYPE_CHECKING:
    from coterie.tasks.task import TaskSpec

GROUPS = {
    "planted": "Planted: the coalitions are known",
    "bundled": "Bundled: tiny rerankers, nothing to download",
    "paper": "Paper: the checkpoints of Hedonic Neurons",
    "popular": "Popular: published rerankers from the hub, for relevance",
}
_SUMMARY_WIDTH = 20  # characters; a narrower summary has one word per line


def print_list(what: str) -> None:
    """Print the tasks, methods, suites or metrics as a table."""
    with exit_on_user_error():
        columns, rows = TABLES[what]()
        if what != "tasks":
            _print_rows(columns, rows)
            return
        group_of = {spec.name: spec.group for spec in _specs()}
        for number, (group, members) in enumerate(groupby(rows, lambda row: group_of[row[0]])):
            Console().print(f"{chr(10) if number else ''}[bold]{GROUPS[group]}[/bold]")
            _print_rows(*_without_constants(columns, list(members)))


def _print_rows(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table or, if its cells leave the summary no room, each name on a line above the rest of its row."""
    console = Console()
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    if columns[-1] == "summary" and sum(widths[:-1]) + 2 * len(columns) > console.width - _SUMMARY_WIDTH:
        for name, *between, last in rows:
            rest = ", ".join(f"{column} {cell}" for column, cell in zip(columns[1:-1], between, strict=True))
            console.print(name, markup=False, highlight=False, soft_wrap=True)
            console.print(Padding(escape(f"{rest}: {last}" if rest else last), (0, 0, 0, 4)), highlight=False)
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)


def _without_constants(columns: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows without those inner columns that are the same in all rows."""
    inner = range(1, len(columns) - 1)
    kept = [i for i in range(len(columns)) if i not in inner or len({row[i] for row in rows}) > 1]
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]


def print_info(name: str) -> None:
    """Explain a task, method, suite or metric. Exits with one line for an unknown name."""
    from coterie.benchmark.protocol.metrics.registry import list_metrics
    from coterie.benchmark.protocol.suites import SUITES
    from coterie.methods.registry import list_methods
    from coterie.tasks.config.text import did_you_mean
    from coterie.tasks.registry import list_tasks
    from coterie.tasks.selector import split_task_selector

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


def _specs() -> list[TaskSpec]:
    """The registered tasks, group by group."""
    from coterie.tasks.registry import get_task_spec, list_tasks

    order = list(GROUPS)
    return sorted(map(get_task_spec, sorted(list_tasks())), key=lambda spec: order.index(spec.group))


def _tasks() -> tuple[list[str], list[list[str]]]:
    return ["task", "objective", "layer", "summary"], [[s.name, *s.columns(), s.summary] for s in _specs()]


def _methods() -> tuple[list[str], list[list[str]]]:
    from coterie.methods.registry import list_methods

    return ["method", "sees", "summary", "reference"], [
        [name, ", ".join(sorted(cls.sees)) or "nothing", cls.summary(), cls.reference]
        for name, cls in list_methods().items()
    ]


def _suites() -> tuple[list[str], list[list[str]]]:
    from coterie.benchmark.protocol.suites import SUITES

    return ["suite", "summary", "tasks", "methods", "seeds"], [
        [name, s.summary, str(len(s.tasks)), str(len(s.methods)), str(s.seeds)] for name, s in SUITES.items()
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
            "yes" if m.primary else "no",
            m.summary,
        ]
        for name, m in list_metrics().items()
    ]


TABLES = {"tasks": _tasks, "methods": _methods, "suites": _suites, "metrics": _metrics}


def _unwrapped(docstring: str | None) -> str:
    """A docstring with one line per paragraph and list item, for the terminal to wrap; indented formulas stay as written."""
    text = cleandoc(docstring or "")
    return re.sub(r"(?<=\S)\n(?: {2})?(?![\s>-])", " ", text)


def _method(console: Console, name: str) -> None:
    from coterie.methods.registry import list_methods

    cls = list_methods()[name]
    console.print(f"{name}  (sees {', '.join(sorted(cls.sees)) or 'nothing'})\n{cls.reference}\n", markup=False)
    console.print(_unwrapped(cls.__doc__), markup=False)
    console.print("\nParameters:")
    for parameter, schema in cls.parameter_schema().items():
        default, description = json.dumps(schema.get("default")), schema.get("description", "")
        console.print(f"  {parameter} = {default}  {description}", markup=False)


def _metric(console: Console, name: str) -> None:
    from coterie.benchmark.protocol.metrics.registry import list_metrics

    metric = list_metrics()[name]
    direction = "higher" if metric.higher_is_better else "lower"
    ranked = "ranked" if metric.primary else "shown, not ranked,"
    console.print(
        f"{name}  [{metric.unit}], {direction} is better, {ranked} on {', '.join(metric.domains)}", markup=False
    )
    console.print(_unwrapped(metric.__doc__), markup=False)


def _suite(console: Console, name: str) -> None:
    from coterie.benchmark.protocol.suites import SUITES

    suite = SUITES[name]
    cells = len(suite.tasks) * len(suite.methods) * suite.seeds
    console.print(f"{name}: {suite.summary}\n", markup=False)
    factors = [(len(suite.tasks), "task"), (len(suite.methods), "method"), (suite.seeds, "seed")]
    console.print(f"  {format_count(cells, 'cell')}: {' x '.join(format_count(*factor) for factor in factors)}")
    console.print(f"  budget        {suite.budget} evaluations of the discovery game per method")
    console.print("  tasks         " + "\n                ".join(suite.tasks), markup=False)
    console.print("  methods       " + "\n                ".join(suite.methods), markup=False)
    console.print("\nSettings:")
    for setting, field in type(suite.settings).model_fields.items():
        console.print(f"  {setting} = {getattr(suite.settings, setting)}  {field.description}", markup=False)


def _task(console: Console, name: str) -> None:
    from coterie.benchmark.commands.preflight import unranked
    from coterie.benchmark.runner.environment import flops_per_second
    from coterie.tasks.errors import DataError, RerankerError
    from coterie.tasks.kinds import estimate_task, plan_task
    from coterie.tasks.registry import get_task_spec

    spec = get_task_spec(name)
    console.print(f"{spec.name}: {spec.summary}\n", markup=False)
    _print_details(console, spec.details())
    estimate: list[tuple[str, str]] = []
    try:
        # refuses an unavailable reranker before any text is read
        estimate = estimate_task(spec, None, flops_per_second)
        plan = plan_task(spec)
        estimate = estimate_task(spec, plan.query_counts, flops_per_second)
    except (DataError, RerankerError) as error:
        _print_details(console, [*estimate, ("not available", str(error))])
        return
    _print_details(console, estimate)
    _print_details(console, plan.details())
    for warning in (*plan.warnings, *filter(None, [unranked(plan)])):
        console.print(f"  note: {warning}", markup=False, soft_wrap=True)


def _print_details(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    for label, value in rows:
        console.print(f"  {label:<14} {value}", markup=False, soft_wrap=True)
