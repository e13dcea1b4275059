"""The board as a folder of static pages: overview, all results, and one page a task, a method and a set of coalitions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coterie.leaderboard.board.changes import history_frame
from coterie.leaderboard.board.frame import to_csv, to_frame
from coterie.leaderboard.board.sources import Gathered
from coterie.leaderboard.board.table import compile_board, shown_records
from coterie.leaderboard.board.types import Board, Entry
from coterie.leaderboard.display import figures, legend
from coterie.leaderboard.display.links import link, records_path
from coterie.leaderboard.display.page import day, overall_view, task_view
from coterie.leaderboard.display.render import render_json, render_schema
from coterie.leaderboard.display.templating import SITE_SCRIPTS, environment, frame
from coterie.leaderboard.display.text import render_markdown
from coterie.leaderboard.entries.submitted import Submitted, newest_first
from coterie.leaderboard.errors import SourceError
from coterie.leaderboard.reports.attach import Reports
from coterie.leaderboard.reports.card_page import render_page
from coterie.leaderboard.reports.read import KINDS
from coterie.leaderboard.reports.views import FOLDER, AcrossView, CardView, FidelityView, address
from coterie.tracking.files import write_atomic
from coterie.tracking.record import Record

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = "leaderboard-schema.json"  # a folder that holds it is a site of ours, and may be built again
FOLDERS = ("tasks", "methods", "coalitions", FOLDER)
STYLE_ID = re.compile(r'getElementById\("([0-9a-f]{64})"\)')  # plotly inserts a style for maps, unless this id exists
Field = tuple[str, str, list[str]]  # of a filter: attribute, title, values
LISTED = 50  # coalitions of a set, where the record's settings do not say which were evaluated


@dataclass(frozen=True)
class Site:
    """What the pages are made of: the board, its records by entry, all records (for history), badges, cards, reports."""

    board: Board
    shown: Sequence[tuple[str, Record]]
    records: Sequence[Record]
    badges: dict[str, str]
    submissions: Sequence[Submitted] = ()
    reports: Reports = field(default_factory=Reports)

    @classmethod
    def of(cls, gathered: Gathered) -> Site:
        """Compile the board. Raises ``ValueError`` without any record."""
        shown = shown_records(gathered.records)
        board, badges = compile_board(gathered.records), gathered.badges(shown)
        return cls(board, shown, gathered.records, badges, gathered.submissions, gathered.reports)

    @cached_property
    def links(self) -> dict[str, str]:
        """Entry -> its page, from the root."""
        return {entry.label: link("methods", entry.label) for entry in self.board.entries}

    @cached_property
    def templates(self) -> Environment:
        return environment()

    @cached_property
    def plotly(self) -> str:
        """Plotly's script."""
        from plotly.offline import get_plotlyjs

        return str(get_plotlyjs())

    def of_task(self, task_name: str) -> list[tuple[str, Record]]:
        """The task's records by entry."""
        return [(entry, record) for entry, record in self.shown if record.task_name == task_name]

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
        sets = dict.fromkeys((record.task_name, entry) for entry, record in self.shown if record.coalitions)
        for task_name, label in sets:
            yield link("coalitions", f"{task_name} {label}"), self._coalitions(task_name, label)

    def files(self) -> Iterator[tuple[str, str]]:
        """(path from the root, text) of the reports that pages show, and of the cards' own pages."""
        for report in self.reports.plain():
            yield f"{address(report)}.json", report.model_dump_json()
        for entry, record in self.shown:
            back = f"../{link('coalitions', f'{record.task_name} {entry}')}#seed-{record.seed}"
            for inspection in self.reports.inspections.get(record.identity_digest, []):
                path = address(inspection)
                yield f"{path}.json", inspection.model_dump_json()
                yield f"{path}.html", render_page(inspection, f"{path.rpartition('/')[2]}.json", back)

    def _page(
        self, template: str, here: str, *, base: str = "", drawn: Sequence[Any] = (), plots: bool = False, **values: Any
    ) -> str:
        plots = plots or bool(drawn)
        common = {
            **frame(SITE_SCRIPTS, base=base, plots=plots),
            "reserved_styles": STYLE_ID.findall(self.plotly) if plots else [],
            "links": self.links,
            "badges": self.badges,
            "board": self.board,
            "date": day(self.board.date),
            "link": link,
            "here": here,
            "figures": [(caption, json.dumps(figure, allow_nan=False)) for caption, figure in drawn],
        }
        return self.templates.get_template(template).render(**common, **values)

    def _overview(self) -> str:
        board = self.board
        drawn = [
            ("Mean ranks with their intervals; grey bars join entries that cannot be told apart", figures.ranks(board))
        ]
        drawn += [("Mean rank against cost; filled and dotted: what nothing beats in both", figures.rank_pareto(board))]
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
        fidelities = [FidelityView.of(report) for report in self.reports.fidelity.get(task_name, [])]
        values = {"task": task_view(task, alone=True), "sets": sets, "columns": columns, "fidelities": fidelities}
        return self._page("task.html.j2", "tasks", base="../", drawn=drawn, plots=bool(fidelities), **values)

    def _method(self, entry: Entry) -> str:
        own = [record for label, record in self.shown if label == entry.label]
        versions = self._history(entry)
        flows = [AcrossView.of(report) for report in self.reports.across(entry.label)]
        cells = [cell for cell in self._cells if cell["row"].entry == entry.label]
        drawn = [
            ("Values over versions, with their intervals", figures.history(versions)),
            ("Sizes of the coalitions by task", figures.sizes([(record.task_name, record) for record in own])),
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
            submitted=newest_first(self.submissions, own),
            flows=flows,
            sets=list(dict.fromkeys(record.task_name for record in own if record.coalitions)),
            versions=versions,
        )

    def _coalitions(self, task_name: str, entry: str) -> str:
        records = [record for label, record in self.of_task(task_name) if label == entry and record.coalitions]
        drawn = [
            (f"Seed {record.seed}: how many coalitions of each size", figures.size_histogram(record))
            for record in records
        ]
        seeds, fingerprints = {r.seed for r in records}, {r.identity.task_fingerprint for r in records}
        reports = [report for f in sorted(fingerprints) for report in self.reports.across(entry, f)]
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
            sets=[self._listed(record) for record in records],
        )

    def _listed(self, record: Record) -> dict[str, Any]:
        """A record's coalitions as its page lists them: those that were evaluated and those that have a card."""
        rows, which = evaluated(record)
        cards = {number: CardView.of(*found) for number, found in self.reports.cards(record).items()}
        more = [(n, list(view.card.members)) for n, view in cards.items() if n not in dict(rows)]
        values = {"rows": sorted([*rows, *more]), "which": which, "more": bool(more), "cards": cards}
        return {"record": record, "path": records_path(record), **values}

    def _table(self, cells: list[dict[str, Any]], more: list[Field]) -> dict[str, Any]:
        """What a table of results needs: its rows, its filters, and what these look for, by column and text."""
        infos = {cell["task"].task_name: cell["task"].info for cell in cells}
        keys = list(dict.fromkeys(cell["metric"].board.key for cell in cells))
        names = ("architecture", "objective", "layer")
        facts = {
            0: {task: {name: str(getattr(info, name)) for name in names} for task, info in infos.items()},
            1: {key: {"metric": key} for key in keys},
            2: {entry.label: {"sees": "\n".join(entry.sees or ["nothing"])} for entry in self.board.entries},
        }
        fields = [*_task_fields(self.board), *more, ("metric", "Metric", keys)]
        return {"cells": cells, "fields": fields, "facts": json.dumps(facts if more else {0: facts[0], 1: facts[1]})}

    @cached_property
    def _cells(self) -> list[dict[str, Any]]:
        views = [task_view(task, alone=True) for task in self.board.tasks]
        return [
            {"task": view.board, "metric": metric, "row": row, "entry": self.board.entry(row.entry)}
            for view in views
            for metric in view.metrics
            if metric.board.primary
            for row in metric.board.rows
            if row.cost or row.value is not None
        ]

    def _history(self, entry: Entry) -> list[dict[str, Any]]:
        """Versions of the entry, oldest first, each compared with the one before; none where there is one version only."""
        own = [
            record
            for record in self.records
            if record.method_name == entry.method_name
            and record.identity.parameters == entry.parameters
            and record.identity.budget == entry.budget
        ]
        if len({(record.identity.code_hash, record.environment.git_hash) for record in own}) < 2:
            return []
        rows = history_frame(own).to_dict("records")
        return [{str(name): value for name, value in row.items()} for row in rows]


def write_site(gathered: Gathered, folder: Path) -> list[Path]:
    """Write the site and return its files. What an older build left in its folders of pages is removed.

    Raises ``SourceError`` for a folder that holds something else, ``ValueError`` without any record, and ``OSError``.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).is_file())):
        raise SourceError(
            f"{folder}: expected a new or empty folder or a site built before, got something else; fix: choose another "
            "folder with --site"
        )
    site = Site.of(gathered)
    table = to_frame(site.board, site.badges)
    texts = {
        MARK: render_schema(),
        "leaderboard.json": render_json(site.board),
        "leaderboard.md": render_markdown(site.board),
        "results.csv": to_csv(table),
        "results.json": table.to_json(orient="records", indent=1) + "\n",
        "plotly.min.js": site.plotly,
        **{f"{kind}-schema.json": json.dumps(model.model_json_schema(), indent=1) for kind, model in KINDS.items()},
        **dict(site.pages()),
        **dict(site.files()),
    }
    for path, text in texts.items():
        write_atomic(folder / path, text)
    table.to_parquet(folder / "results.parquet", index=False)
    for old in (
        path for name in FOLDERS for ending in ("html", "json") for path in (folder / name).glob(f"*.{ending}")
    ):
        if old.relative_to(folder).as_posix() not in texts:
            old.unlink()
    return [folder / path for path in (*texts, "results.parquet")]


def evaluated(record: Record) -> tuple[list[tuple[int, list[int]]], str]:
    """The coalitions that were scored, with their number in the record, and in words which these are."""
    groups = list(enumerate(record.coalitions.groups if record.coalitions else []))
    settings = record.identity.settings
    most, smallest, share = (settings.get(name) for name in ("max_coalitions", "smallest", "largest_share"))
    if not isinstance(most, int) or not isinstance(smallest, int) or not isinstance(share, float):
        return groups[:LISTED], f"the first {LISTED}; the record's settings do not say which were evaluated"
    top = int(record.task.n_players * share)
    chosen = [(number, group) for number, group in groups if smallest <= len(group) <= top]
    return chosen[:most], f"those that were evaluated: the first {most} of {smallest} to {top} neurons"


def _task_fields(board: Board) -> list[Field]:
    """(attribute, title, values) of the filters on tasks."""
    infos = [task.info for task in board.tasks]
    layers = [str(layer) for layer in sorted({info.layer for info in infos})]
    return [
        ("architecture", "Architecture", sorted({info.architecture for info in infos})),
        ("objective", "Objective", sorted({info.objective for info in infos})),
        ("layer", "Layer", layers),
    ]


def _sees(board: Board) -> list[Field]:
    return [("sees", "Sees", sorted({kind for entry in board.entries for kind in entry.sees or ["nothing"]}))]
