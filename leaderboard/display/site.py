"""The board as a folder of static pages, downloads and schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from coterie.leaderboard.display.card_page import render_page
from coterie.leaderboard.display.frame import to_csv, to_frame
from coterie.leaderboard.display.links import link
from coterie.leaderboard.display.render import render_json, render_schema
from coterie.leaderboard.display.report_views import FOLDER, address
from coterie.leaderboard.display.site_pages import Site
from coterie.leaderboard.display.text import render_markdown
from coterie.leaderboard.errors import SourceError
from coterie.leaderboard.reports.gather import Gathered
from coterie.leaderboard.reports.read import KINDS
from coterie.tracking.files import write_atomic

MARK = "leaderboard-schema.json"  # marks a folder as one of our sites, which may be rebuilt
FOLDERS = ("tasks", "methods", "coalitions", FOLDER)


def write_site(gathered: Gathered, folder: Path) -> list[Path]:
    """Write the site and return its files. Pages of an older build that are not part of the new one are removed.

    Raises `SourceError` for a folder with other content, `ValueError` without records, and `OSError`.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).is_file())):
        raise SourceError(
            f"{folder}: expected a new or empty folder or an earlier build of the site, got something else; fix: choose "
            "another folder with --site"
        )
    site = Site(gathered)
    table = to_frame(site.board, gathered.badges)
    texts = {
        MARK: render_schema(),
        "leaderboard.json": render_json(site.board),
        "leaderboard.md": render_markdown(site.board),
        "results.csv": to_csv(table),
        "results.json": table.to_json(orient="records", indent=1) + "\n",
        "plotly.min.js": site.plotly,
        **{f"{kind}-schema.json": json.dumps(model.model_json_schema(), indent=1) for kind, model in KINDS.items()},
        **dict(site.pages()),
        **dict(_report_files(gathered)),
    }
    for path, text in texts.items():
        write_atomic(folder / path, text)
    table.to_parquet(folder / "results.parquet", index=False)
    for old in _pages_and_reports(folder):
        if old.relative_to(folder).as_posix() not in texts:
            old.unlink()
    return [folder / path for path in (*texts, "results.parquet")]


def _report_files(gathered: Gathered) -> Iterator[tuple[str, str]]:
    """(path from the root, text) of the reports that pages show, and of the cards' pages."""
    for report in gathered.reports.plain():
        yield f"{address(report)}.json", report.model_dump_json()
    for entry, record in gathered.labelled.pairs:
        back = f"../{link('coalitions', f'{record.task_name} {entry}')}#seed-{record.seed}"
        for inspection in gathered.reports.inspections.get(record.identity_digest, []):
            path = address(inspection)
            yield f"{path}.json", inspection.model_dump_json()
            yield f"{path}.html", render_page(inspection, f"{path.rpartition('/')[2]}.json", back)


def _pages_and_reports(folder: Path) -> Iterator[Path]:
    for name in FOLDERS:
        for ending in ("html", "json"):
            yield from (folder / name).glob(f"*.{ending}")
