"""The reference of methods, metrics, suites and tasks, from their registries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from coterie.benchmark.commands.listing import TABLES
from coterie.benchmark.protocol.metrics.registry import list_metrics
from coterie.benchmark.protocol.suites import SUITES
from coterie.methods.affinity import AFFINITIES
from coterie.methods.base import Method
from coterie.methods.registry import list_methods
from coterie.tasks.planted.task import PlantedSpec
from coterie.tasks.registry import get_task_spec, list_tasks
from coterie.tasks.task import TaskSpec
from coterie_docs.prose import body_of, cell, code, markdown_of, table

ROOT = Path(__file__).parent.parent.parent
METHODS, TASKS = "reference/methods", "reference/tasks"
METRIC_COLUMNS = ("metric", "summary", "on", "ranked")  # the others stand with each metric
_RANGE = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def pages() -> dict[str, str | bytes]:
    """Path in the site -> Markdown."""
    return {
        f"{METHODS}/index.md": _methods(),
        **{f"{METHODS}/{name}.md": _method(name) for name in list_methods()},
        "reference/metrics.md": _metrics(),
        "reference/suites.md": _suites(),
        f"{TASKS}/index.md": _tasks(),
        **{f"{TASKS}/{task_page(name)}": _task(name) for name in list_tasks()},
    }


def task_page(name: str) -> str:
    """File of a task's page, beside the index."""
    return f"{name.replace('/', '-')}.md"


def _listed(what: str, link: Callable[[str], str], columns: Sequence[str] | None = None) -> str:
    """The table that ``coterie ls`` prints, or these columns of it, the names as links."""
    names, rows = TABLES[what]()
    kept = [names.index(column) for column in columns or names]
    linked = [[f"[{code(row[0])}]({link(row[0])})", *map(cell, row[1:])] for row in rows]
    return table([names[i] for i in kept], [[row[i] for i in kept] for row in linked])


def _methods() -> str:
    affinities = table(
        ["affinity", "sees", "reference"],
        [[code(a.name), cell(", ".join(sorted(a.sees))), cell(a.reference)] for a in AFFINITIES.values()],
    )
    return (
        "# Methods\n\nWhat each proposes, what it must see to do so, and where it comes from; as `coterie ls methods` prints "
        f"it. A name leads to the mathematics and the parameters.\n\n{_listed('methods', lambda name: f'{name}.md')}\n"
        "## Affinities\n\nMethods with a parameter `affinity` work on any of these matrices; what they see follows from it. "
        f"`coterie fidelity` measures how well each ranks pairs by their exact synergy.\n\n{affinities}"
    )


def _method(name: str) -> str:
    cls = list_methods()[name]
    schema = cls.parameter_schema()
    rows = [
        [
            code(f.name),
            cell(type_of(schema[f.name])),
            code(json.dumps(schema[f.name]["default"])),
            cell(schema[f.name]["description"]),
        ]
        for f in fields(cls)
    ]
    parameters = table(["parameter", "type", "default", "what it is"], rows) if rows else "None.\n"
    return (
        f"# {name}\n\n{markdown_of(cls.summary())}\n\n"
        f"**Sees** {cell(', '.join(sorted(cls.sees)) or 'nothing')}{_depends(schema)}  \n"
        f"**Reference** {cell(cls.reference)}  \n"
        f"**Source** {code(_source(cls))}\n\n## What it does\n\n{body_of(cls.__doc__)}\n\n"
        f"## Parameters\n\n{parameters}\n    coterie run -m random -m '{example_of(cls)}'\n\n"
        "Any of them can be set in the brackets; the board names what differs from the defaults.\n"
    )


def example_of(cls: type[Method]) -> str:
    """A selector that shows how a parameter is set: ``name[parameter=default]`` for the first that has a value."""
    for name, schema in cls.parameter_schema().items():
        if schema["default"] is not None:
            return f"{cls.name}[{name}={schema['default']}]"
    return cls.name


def _depends(schema: dict[str, Any]) -> str:
    return " (with its defaults; it depends on `affinity`)" if "affinity" in schema else ""


def type_of(schema: dict[str, Any]) -> str:
    """A parameter's JSON schema in words: ``integer >= 1 or null``, ``one of oca, pas``."""
    if "anyOf" in schema:
        return " or ".join(type_of(part) for part in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    limits = " and ".join(f"{sign} {schema[key]}" for key, sign in _RANGE.items() if key in schema)
    return f"{schema.get('type', 'any')} {limits}".strip()


def _source(cls: type) -> str:
    return cls.__module__.removeprefix("coterie.").replace(".", "/") + ".py"


def _metrics() -> str:
    parts = [
        f"## {name}\n\n**Unit** {cell(m.unit)}, {'higher' if m.higher_is_better else 'lower'} is better, "
        f"{'ranked' if m.primary else 'shown, not ranked,'} on {cell(', '.join(m.domains))}  \n"
        f"**Needs** {cell(', '.join(sorted(m.needs)) or 'ablations')}  \n**Source** {code(_source(m))}\n\n"
        f"{markdown_of(m.__doc__)}\n"
        for name, m in list_metrics().items()
    ]
    return (
        "# Metrics\n\nAs `coterie ls metrics` and `coterie info NAME` print them. What they are for, the controls and the "
        f"statistics: [protocol](../protocol.md).\n\n{_listed('metrics', lambda name: f'#{name}', METRIC_COLUMNS)}\n"
        + "\n".join(parts)
    )


def _suites() -> str:
    parts = []
    for name, suite in SUITES.items():
        cells = len(suite.tasks) * len(suite.methods) * suite.seeds
        settings = [
            [code(key), code(getattr(suite.settings, key)), cell(field.description)]
            for key, field in type(suite.settings).model_fields.items()
        ]
        parts.append(
            f"## {name}\n\n{cell(suite.summary)}: {cells} cells, {len(suite.tasks)} tasks, {len(suite.methods)} methods, "
            f"{suite.seeds} seeds, {suite.budget} evaluations a method.\n\n    coterie run --suite {name}\n\n"
            f"**Tasks** {', '.join(map(code, suite.tasks))}\n\n**Methods** {', '.join(map(code, suite.methods))}\n\n"
            f"{table(['setting', 'value', 'what it is'], settings)}"
        )
    return "# Suites\n\nNamed selections of tasks, methods, seeds and settings: `coterie ls suites`.\n\n" + "\n".join(
        parts
    )


def _tasks() -> str:
    return (
        "# Tasks\n\nA reranker, one of its layers, query-document data and an objective, or a planted game whose coalitions are "
        "known; as `coterie ls tasks` prints them. Your own: [tasks](../../tasks.md). `coterie info TASK` adds what depends on "
        f"your machine: memory, time, fingerprints.\n\n{_listed('tasks', task_page)}"
    )


def _task(name: str) -> str:
    spec = get_task_spec(name)
    rows = _planted_rows(spec) if isinstance(spec, PlantedSpec) else _reranker_rows(spec)
    about = "".join(f"- **{key}**: {value}\n" for key, value in rows)
    card = list_tasks()[name].parent / "README.md"
    return (
        f"# {name}\n\n{cell(spec.summary)}\n\n    coterie run -t {name}\n\n{about}\n"
        + (f"## Model card\n\n{_card(card)}\n" if card.exists() else "")
        + f"## Its file\n\n```yaml\n{list_tasks()[name].read_text().strip()}\n```\n"
    )


def _card(path: Path) -> str:
    """The bundled model's card without its title and its first sentences, which the page has."""
    return re.sub(r"\A# .*\n+", "", path.read_text())


def _reranker_rows(spec: TaskSpec) -> list[tuple[str, str]]:
    config = Path(spec.reranker.base, "config.json")
    size = json.loads(config.read_text()) if config.exists() else None
    data = spec.data
    queries = ", ".join(f"{count} {split}" for split, count in data.queries.model_dump().items())
    rows = [
        (
            "reranker",
            cell(_path(spec.reranker.base))
            + (f" + {cell(_path(spec.reranker.adapter))}" if spec.reranker.adapter else ""),
        ),
        (
            "site",
            cell(f"{spec.players} of layer {spec.layer}, intervention {spec.intervention}, readout {spec.readout}"),
        ),
        (
            "layers",
            cell(", ".join(map(str, spec.layers)) or (f"any of 0 to {size['num_hidden_layers'] - 1}" if size else "")),
        ),
        ("objective", cell(spec.objective)),
        ("collections", cell(", ".join(f"{d.name} ({d.collection})" for d in (data.source, *data.transfer)))),
        ("queries", cell(f"at most {queries} (each other domain), {data.candidates} candidates each")),
    ]
    if size is not None:
        shape = f"{size['model_type']}, {size['num_hidden_layers']} layers, d_model {size['hidden_size']}, "
        rows.insert(0, ("model", cell(f"{shape}{size['intermediate_size']} neurons a layer")))
    return [(key, value) for key, value in rows if value]


def _path(location: str) -> str:
    """A bundled folder relative to the repository; a hub id as it is."""
    path = Path(location)
    return str(path.resolve().relative_to(ROOT)) if path.is_absolute() else location


def _planted_rows(spec: PlantedSpec) -> list[tuple[str, str]]:
    described = type(spec.planting).model_fields
    return [
        ("inside", cell(spec.inside)),
        ("queries", cell(f"{spec.queries} a split, {spec.depth} pairs each")),
        *(
            (key, f"{cell(value)}: {cell(described[key].description)}" if described[key].description else cell(value))
            for key, value in spec.planting.model_dump().items()
        ),
    ]
