"""The pages of the site: overview, all results, and one page per task, per method and per set of coalitions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from coterie.leaderboard.board.changes import history_frame
from coterie.leaderboard.board.types import Board, Entry
from coterie.leaderboard.display import figures, legend
from coterie.leaderboard.display.evaluated import evaluated
from coterie.leaderboard.display.links import link, records_path
from coterie.leaderboard.display.page import day, overall_view, task_view
from coterie.leaderboard.display.report_views import AcrossView, CardView, FidelityView
from coterie.leaderboard.display.templating import SITE_SCRIPTS, environment, frame
from coterie.leaderboard.entries.identity import MethodKey
from coterie.leaderboard.entries.submitted import newest_first
from coterie.leaderboard.reports.gather import Gathered
from coterie.tracking.record import Record

if TYPE_CHECKING:
    from jinja2 import Environment

STYLE_ID = re.compile(r'getElementById\("([0-9a-f]{64})"\)')  # plotly inserts a style for maps unless this id exists
Field = tuple[str, str, list[str]]  # a filter: attribute, title, values


@dataclass(frozen=True)
class Site:
    """The pages of a site."""

    gathered: Gathered
    """Records, submissions and reports that the pages show."""

    @property
    def board(self) -> Board:
        """The compiled board. Raises `ValueError` without records."""
        return self.gathered.board

    @property
    def pairs(self) -> list[tuple[str, Record]]:
        """(entry label, record) of every record on the board."""
        return self.gathered.labelled.pairs

    @cached_property
    def links(self) -> dict[str, str]:
        """Entry -> address of its page, from the root."""
        return {entry.label: link("methods", entry.label) for entry in self.board.entries}

    @cached_property
    def templates(self) -> Environment:
        """The environment of the pages' templates."""
        return environment()

    @cached_property
    def plotly(self) -> str:
        """Plotly's script."""
        from plotly.offline import get_plotlyjs

        return str(get_plotlyjs())

    def of_task(self, task_name: str) -> list[tuple[str, Record]]:
        """The task's records by entry."""
        return [(entry, record) for entry, record in self.pairs if record.task_name == task_name]

    def pages(self) -> Iterator[tuple[str, str]]:
        """(path from the root, HTML) of every page."""
        yield "index.html", self._overview()
        yield (
            "results.html",
            self._page("results.html.j2", "results", **self._table(self._cells, _sees(self.board))),
        )
        for task in self.board.tasks:
            yield link("tasks", task.task_name), self._task(task.task_name)
        for entry in self.board.entries:
            yield link("methods", entry.label), self._method(entry)
        sets = dict.fromkeys((record.task_name, entry) for entry, record in self.pairs if record.coalitions)
        for task_name, label in sets:
            yield link("coalitions", f"{task_name} {label}"), self._coalitions(task_name, label)

    def _page(
        self,
        template: str,
        current: str,
        *,
        base: str = "",
        drawn: Sequence[Any] = (),
        plots: bool = False,
        **values: Any,
    ) -> str:
        plots = plots or bool(drawn)
        common = {
            **frame(SITE_SCRIPTS, base=base, plots=plots),
            "reserved_styles": STYLE_ID.findall(self.plotly) if plots else [],
            "links": self.links,
            "badges": self.gathered.badges,
            "board": self.board,
            "date": day(self.board.date),
            "link": link,
            "current": current,
            "figures": [(caption, json.dumps(figure, allow_nan=False)) for caption, figure in drawn],
        }
        return self.templates.get_template(template).render(**common, **values)

    def _overview(self) -> str:
        board = self.board
        drawn = [("Mean ranks with intervals; grey bars join statistically tied entries", figures.ranks(board))]
        drawn += [("Mean rank against cost; filled markers, dotted line: Pareto front", figures.rank_pareto(board))]
        groups = figures.tie_groups(board.overall.rows)
        letters = {
            entry.label: "".join(chr(65 + i) for i, g in enumerate(groups) if entry.label in g)
            for entry in board.entries
        }
        return self._page(
            "overview.html.j2",
            "overview",
            drawn=[(caption, figure) for caption, figure in drawn if figure],
            overall=overall_view(board),
            letters=letters,
            fields=_task_fields(board),
            sees=_sees(board),
            protocols=sorted({task.protocol for task in board.tasks}),
            columns=legend.columns_of(board),
            warnings=Counter(warning for task in board.tasks for warning in task.warnings),
        )

    def _task(self, task_name: str) -> str:
        task = next(task for task in self.board.tasks if task.task_name == task_name)
        records = self.of_task(task_name)
        sets = list(dict.fromkeys(entry for entry, record in records if record.coalitions))
        drawn = figures.task_figures(self.board, task, records)
        columns = legend.columns_of(self.board)
        fidelities = [FidelityView.of(report) for report in self.gathered.reports.fidelity.get(task_name, [])]
        values = {"task": task_view(task, separate=True), "sets": sets, "columns": columns, "fidelities": fidelities}
        return self._page("task.html.j2", "tasks", base="../", drawn=drawn, plots=bool(fidelities), **values)

    def _method(self, entry: Entry) -> str:
        own = [record for label, record in self.pairs if label == entry.label]
        versions = self._history(own)
        flows = [AcrossView.of(report) for report in self.gathered.reports.across(entry.label)]
        cells = [cell for cell in self._cells if cell["row"].entry == entry.label]
        drawn = [
            ("Values over versions, with intervals", figures.history(versions)),
            ("Coalition sizes by task", figures.sizes([(record.task_name, record) for record in own])),
        ]
        return self._page(
            "method.html.j2",
            "methods",
            base="../",
            drawn=[(caption, figure) for caption, figure in drawn if figure],
            plots=bool(flows),
            entry=entry,
            overall=next(row for row in self.board.overall.rows if row.entry == entry.label),
            **self._table(cells, []),
            submitted=newest_first(self.gathered.submissions, own),
            flows=flows,
            sets=list(dict.fromkeys(record.task_name for record in own if record.coalitions)),
            versions=versions,
        )

    def _coalitions(self, task_name: str, entry: str) -> str:
        records = [record for label, record in self.of_task(task_name) if label == entry and record.coalitions]
        drawn = [
            (f"Seed {record.seed}: number of coalitions by size", figures.size_histogram(record)) for record in records
        ]
        seeds, fingerprints = {r.seed for r in records}, {r.identity.task_fingerprint for r in records}
        reports = [report for f in sorted(fingerprints) for report in self.gathered.reports.across(entry, f)]
        flows = [AcrossView.of(report) for report in reports if report.seed in seeds]
        return self._page(
            "coalitions.html.j2",
            "coalitions",
            base="../",
            drawn=[(caption, figure) for caption, figure in drawn if figure],
            plots=bool(flows),
            task_name=task_name,
            entry=entry,
            flows=flows,
            sets=[self._seed_view(record) for record in records],
        )

    def _seed_view(self, record: Record) -> dict[str, Any]:
        """A record's coalitions as its page lists them: the evaluated ones and those with a card."""
        rows, which = evaluated(record)
        cards = {number: CardView.of(*found) for number, found in self.gathered.reports.cards(record).items()}
        more = [(n, list(view.card.members)) for n, view in cards.items() if n not in dict(rows)]
        values = {"rows": sorted([*rows, *more]), "which": which, "more": bool(more), "cards": cards}
        return {"record": record, "path": records_path(record), **values}

    def _table(self, cells: list[dict[str, Any]], more: list[Field]) -> dict[str, Any]:
        """What a table of results needs: its rows, its filters, and the values to filter by, by column and text."""
        infos = {cell["task"].task_name: cell["task"].info for cell in cells}
        keys = list(dict.fromkeys(cell["metric"].board.key for cell in cells))
        names = ("architecture", "objective", "layer")
        facts = {
            0: {task: {name: _text(getattr(info, name)) for name in names} for task, info in infos.items()},
            1: {key: {"metric": key} for key in keys},
            2: {entry.label: {"sees": "\n".join(entry.sees or ["nothing"])} for entry in self.board.entries},
        }
        fields = [*_task_fields(self.board), *more, ("metric", "Metric", keys)]
        return {"cells": cells, "fields": fields, "facts": json.dumps(facts if more else {0: facts[0], 1: facts[1]})}

    @cached_property
    def _cells(self) -> list[dict[str, Any]]:
        views = [task_view(task, separate=True) for task in self.board.tasks]
        return [
            {"task": view.board, "metric": metric, "row": row, "entry": self.board.entry(row.entry)}
            for view in views
            for metric in view.metrics
            if metric.board.primary
            for row in metric.board.rows
            if row.cost or row.value is not None
        ]

    def _history(self, own: Sequence[Record]) -> list[dict[str, Any]]:
        """Versions of the entry with these records, oldest first, each compared with the one before; empty for only one."""
        keys = {MethodKey.of(record) for record in own}
        versions = [record for record in self.gathered.records if MethodKey.of(record) in keys]
        if len({(record.identity.code_hash, record.environment.git_hash) for record in versions}) < 2:
            return []
        rows = history_frame(versions).to_dict("records")
        return [{str(name): value for name, value in row.items()} for row in rows]


def _task_fields(board: Board) -> list[Field]:
    """The filters on tasks."""
    infos = [task.info for task in board.tasks]
    layers = [str(layer) for layer in sorted({info.layer for info in infos if info.layer is not None})]
    return [
        ("architecture", "Architecture", sorted({info.architecture for info in infos})),
        ("objective", "Objective", sorted({info.objective for info in infos})),
        ("layer", "Layer", layers),
    ]


def _text(fact: str | int | None) -> str:
    """A fact about a task as filters compare it; empty for the layer of a task without layers."""
    return "" if fact is None else str(fact)


def _sees(board: Board) -> list[Field]:
    return [("sees", "Sees", sorted({kind for entry in board.entries for kind in entry.sees or ["nothing"]}))]
