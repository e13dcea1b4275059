"""Reference pages for methods, metrics, suites and tasks, generated from their registries."""

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
from coterie.tasks.kinds import estimate_task
from coterie.tasks.registry import get_task_spec, list_tasks
from coterie.tasks.task import TaskSpec
from coterie_docs.prose import body_of, cell, code, markdown_of, table

ROOT = Path(__file__).parent.parent.parent
METHODS, TASKS = "reference/methods", "reference/tasks"
METRIC_COLUMNS = ("metric", "summary", "on", "ranked")  # the sections below the table have the others
_OUT_OF_FOLDER = re.compile(r"[^/\s]+/\.\./")  # `relevance/../base` is `base`
_RANGE = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def pages() -> dict[str, str | bytes]:
    """All reference pages, by path in the site."""
    return {
        f"{METHODS}/index.md": _methods(),
        **{f"{METHODS}/{name}.md": _method(name) for name in list_methods()},
        "reference/metrics.md": _metrics(),
        "reference/suites.md": _suites(),
        f"{TASKS}/index.md": _tasks(),
        **{f"{TASKS}/{task_page(name)}": _task(name) for name in list_tasks()},
    }


def task_page(name: str) -> str:
    """File name of a task's page, beside the index."""
    return f"{name.replace('/', '-')}.md"


def _list(what: str, link: Callable[[str], str], columns: Sequence[str] | None = None) -> str:
    """The table that `coterie ls` prints, or some of its columns, with the names as links."""
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
        "# Methods\n\nWhat each method proposes, what information it sees, and where it comes from. `coterie ls methods` "
        "prints the same table. The page of a method has its mathematics and parameters.\n\n"
        f"{_list('methods', lambda name: f'{name}.md')}\n"
        "## Affinities\n\nMethods with a parameter `affinity` can use any of these matrices, which determines what they "
        f"see. `coterie fidelity` measures how well each matrix ranks pairs by their exact synergy.\n\n{affinities}"
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
    parameters = table(["parameter", "type", "default", "meaning"], rows) if rows else "This method has none.\n"
    return (
        f"# {name}\n\n{markdown_of(cls.summary())}\n\n"
        f"**Sees** {cell(', '.join(sorted(cls.sees)) or 'nothing')}{_depends(schema)}  \n"
        f"**Reference** {cell(cls.reference)}  \n"
        f"**Source** {code(_source(cls))}\n\n## Description\n\n{body_of(cls.__doc__)}\n\n"
        f"## Parameters\n\n{parameters}\n    coterie run -m random -m '{example_of(cls)}'\n\n"
        "The brackets set any of these parameters. The board shows those that differ from their defaults.\n"
    )


def example_of(cls: type[Method]) -> str:
    """A selector that shows how to set a parameter: `name[parameter=default]`, for the first that has a default value."""
    for name, schema in cls.parameter_schema().items():
        if schema["default"] is not None:
            return f"{cls.name}[{name}={schema['default']}]"
    return cls.name


def _depends(schema: dict[str, Any]) -> str:
    return " (with the default `affinity`)" if "affinity" in schema else ""


def type_of(schema: dict[str, Any]) -> str:
    """A parameter's JSON schema as text: `integer >= 1 or null`, `one of oca, pas`."""
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
        f"## {name}\n\n**Unit** {cell(m.unit)}; {'higher' if m.higher_is_better else 'lower'} is better  \n"
        f"**{'Ranked' if m.primary else 'Shown'} on** {cell(', '.join(m.domains))}  \n"
        f"**Needs** {cell(', '.join(sorted(m.needs)) or 'ablations')}  \n**Source** {code(_source(m))}\n\n"
        f"{markdown_of(m.__doc__)}\n"
        for name, m in list_metrics().items()
    ]
    return (
        "# Metrics\n\n`coterie ls metrics` and `coterie info NAME` print the same texts. The [protocol](../protocol.md) "
        "explains the purpose of the metrics, the controls and the statistics.\n\n"
        f"{_list('metrics', lambda name: f'#{name}', METRIC_COLUMNS)}\n" + "\n".join(parts)
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
            f"## {name}\n\n{cell(suite.summary[:1].upper() + suite.summary[1:])}.\n\n    coterie run --suite {name}\n\n"
            f"**Size** {_count(cells, 'cell')}: {_count(len(suite.tasks), 'task')}, {_count(len(suite.methods), 'method')}, "
            f"{_count(suite.seeds, 'seed')}, and at most {suite.budget:,} evaluations per cell\n\n"
            f"**Tasks** {', '.join(map(code, suite.tasks))}\n\n**Methods** {', '.join(map(code, suite.methods))}\n\n"
            f"{table(['setting', 'value', 'meaning'], settings)}"
        )
    return (
        "# Suites\n\nA suite is a named selection of tasks, methods, seeds and settings. `coterie ls suites` lists them.\n\n"
        + "\n".join(parts)
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _tasks() -> str:
    return (
        "# Tasks\n\nA task is a reranker with one of its layers, query-document data and an objective, or a planted game "
        "whose coalitions are known. `coterie ls tasks` prints the same table, and `coterie info TASK` adds what depends on "
        "your machine: memory, time and fingerprints. [Your own task](../../tasks.md) explains how to define one.\n\n"
        f"{_list('tasks', task_page)}"
    )


def _task(name: str) -> str:
    spec = get_task_spec(name)
    rows = _about(spec)
    about = "".join(f"- **{key}**: {value}\n" for key, value in rows)
    card = list_tasks()[name].parent / "README.md"
    return (
        f"# {name}\n\n{cell(spec.summary)}\n\n    coterie run -t {name}\n\n{about}\n"
        + (f"## Model card\n\n{_card(card, spec.summary)}\n" if card.exists() else "")
        + f"## Task file\n\n```yaml\n{list_tasks()[name].read_text().strip()}\n```\n"
    )


def _card(path: Path, summary: str) -> str:
    """A bundled model's card without its title and summary, which the page already has."""
    return re.sub(r"\A# .*\n+", "", path.read_text()).removeprefix(summary).lstrip()


def _about(spec: TaskSpec) -> list[tuple[str, str]]:
    """What `coterie info` prints about the specification and, if it is bundled, the network, with relative paths."""
    rows = [(label, _OUT_OF_FOLDER.sub("", value.replace(f"{ROOT}/", ""))) for label, value in spec.details()]
    if spec.group == "bundled":
        rows += [row for row in estimate_task(spec, None, lambda: 1e9) if row[0] == "model"]
    return [(label, cell(value)) for label, value in rows]
